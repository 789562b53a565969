"""The benchmarks, on inputs so small that they only show that the programs work."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import run as benchmarks
import sources
from coco_data import make_dataset
from conftest import CONFIG, ROOT

from solo_bg.scenes import draw_scene

# name -> number of folders or files it must be given
INPUTS = {
    'pipeline': 1,
    'growth': 1,
    'processes': 1,
    'agreement': 1,
    'video': 1,
    'server': 1,
    'disk': 2,
    'proposals': 2,
    'sources': 2,
    'tiles': 2,
}


def run(*argv):
    command = [sys.executable, ROOT / 'benchmarks/run.py', *argv]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('name', ['backends', 'compose', 'inference', 'megapixels', 'page', 'refine', 'seams', *INPUTS])
def test_each_benchmark_has_a_name(name):
    given = ['x'] * INPUTS.get(name, 0) + ['--models', 'x=x,x'] * (name == 'proposals')
    args = benchmarks.build_parser().parse_args([name, *given])
    assert args.work.__name__ == name and args.work.__doc__


@pytest.mark.slow
def test_the_benchmark_of_inference(tmp_path):
    case = 'decoupled-solo-light_r50_fpn_3x_coco:64x96:5'
    out = ['--json', tmp_path / 'a.json', '--picture', tmp_path / 'a.png', '--precisions', 'fp32', '--rounds', '1']
    printed = run('inference', '--device', 'cpu', '--cases', case, *out)
    assert 'backbone' in printed
    stock, ours = json.loads((tmp_path / 'a.json').read_text())['cases'][case]
    assert stock['instances'] == ours['instances'] > 0 and all(ours['stages'].values())
    assert cv2.imread(str(tmp_path / 'a.png')).std() > 10


@pytest.mark.slow
def test_the_benchmark_of_backends():
    pytest.importorskip('openvino')
    ways = ['torch fp32', 'openvino fp32', 'onnxruntime fp32']
    printed = run('backends', '--cases', f'{CONFIG}:96x128', '--rounds', '1', '--candidates', '20', '--ways', *ways)
    found = [re.search(rf'{way} \((\d+)\)', printed)[1] for way in ways]
    assert len(set(found)) == 1 and int(found[0]) > 0


@pytest.mark.slow
def test_the_benchmark_of_videos(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), draw_scene(3, 96, 128)[0])
    few = ['--frames', '2', '--rounds', '1', '--counts', '2', '5', '--windows', '1', '3']
    printed = run('video', tmp_path, '--device', 'cpu', *few)
    assert 'H.264 to H.264' in printed and 'resident MB' in printed and '--smooth' in printed


@pytest.mark.slow
def test_the_benchmark_of_agreement(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), draw_scene(3, 96, 128)[0])
    printed = run('agreement', tmp_path, '--device', 'cpu')
    assert 'bf16' in printed and 'fp16' in printed


def test_the_benchmark_of_the_pipeline(tmp_path):
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'{name}.png'), draw_scene(3, 96, 128)[0])
    tiny = ['--config', CONFIG, '--candidates', '20', '--precisions', 'fp32', '--rounds', '1']
    printed = run('pipeline', tmp_path, '--device', 'cpu', *tiny)
    assert 'the model alone, fp32' in printed and '%' in printed


@pytest.mark.slow
def test_the_benchmark_of_the_server(tmp_path):
    for name in 'abcd':
        cv2.imwrite(str(tmp_path / f'{name}.png'), draw_scene(3, 96, 128)[0])
    printed = run('server', tmp_path, '--device', 'cpu', '--rounds', '1', '--seconds', '3', '--clients', '2')
    assert '4 images, processor time' in printed and 'statuses {200: ' in printed and 'resident memory' in printed


def test_the_benchmark_of_proposals(tmp_path):
    """In this process, as four models are loaded quickly once mmdet is imported."""
    from coco_data import make_dataset
    from small_families import SMALL, save_small_family

    make_dataset(tmp_path)
    models = [f'{name}={",".join(map(str, save_small_family(name, tmp_path)))}' for name in SMALL]
    files = {name: tmp_path / f'out/{name}' for name in ('a.json', 'a.png', 'maps.png')}
    out = ['--json', files['a.json'], '--picture', files['a.png'], '--maps', files['maps.png'], '--device', 'cpu']
    argv = ['proposals', tmp_path / 'instances.json', tmp_path / 'images', '--limit', '2', *out, '--models', *models]
    args = benchmarks.build_parser().parse_args(list(map(str, argv)))
    args.work(args)
    rows = json.loads(files['a.json'].read_text())
    assert list(rows) == list(SMALL)
    for row in rows.values():
        assert 0 <= row['AR@10'] <= row['AR@100'] <= row['AR@1000'] <= 1 and row['s'] > 0
    assert cv2.imread(str(files['a.png'])).shape == (2 * 106, 10 * 117, 3)
    assert cv2.imread(str(files['maps.png'])).std() > 0


@pytest.mark.slow
def test_the_benchmark_of_refinement():
    config = 'decoupled-solo-light_r50_fpn_3x_coco'
    printed = run('refine', '--config', config, '--size', '64', '96', '--large', '200x150', '--rounds', '1')
    assert '96x64, processor seconds of one thread: decoupled-solo-light' in printed
    assert 'guided' in printed and 'matting' in printed and '200x150' in printed


@pytest.mark.slow
def test_the_benchmark_of_sources(tmp_path):
    make_dataset(tmp_path)
    (tmp_path / 'page.md').write_text(f'before\n{sources.MARKS[0]}old\n{sources.MARKS[1]}after\n')
    (tmp_path / 'demo').mkdir()
    cv2.imwrite(str(tmp_path / 'demo/a.png'), draw_scene(3, 96, 128)[0])
    options = ['--limit', '2', '--only', 'otsu', 'kmeans', '--demo', tmp_path / 'demo', '--weights', tmp_path]
    run('sources', tmp_path / 'instances.json', tmp_path / 'images', *options, '--picture', tmp_path / 'a.jpg',
        '--document', tmp_path / 'page.md')  # fmt: skip
    page = (tmp_path / 'page.md').read_text()
    assert page.startswith('before\n') and page.endswith('after\n') and 'old' not in page
    assert '| otsu | 0.' in page and '| kmeans | 0.' in page and '2 photographs, 0 of them with persons' in page
    assert cv2.imread(str(tmp_path / 'a.jpg')).std() > 10


def test_cut_outs_are_compared_where_they_are_opaque(tmp_path, rng):
    first = rng.integers(0, 256, (5, 6, 4), dtype=np.uint8)
    first[..., 3] = np.arange(30).reshape(5, 6) % 2 * 255
    first[0, 0, 3] = 100
    other = first.copy()
    other[first[..., 3] < 255] //= 2
    other[..., 3] = first[..., 3]
    wrong = first.copy()
    wrong[0, 1, 0] ^= 1
    for name, picture in (('first', first), ('other', other), ('wrong', wrong)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'a.png'), picture)
    assert sources.same(tmp_path / 'first', tmp_path / 'other', 'a')
    assert not sources.same(tmp_path / 'first', tmp_path / 'wrong', 'a')


@pytest.mark.slow
def test_the_benchmark_of_tiles(tmp_path):
    make_dataset(tmp_path, 4, 96, 128)
    printed = run('tiles', tmp_path / 'instances.json', tmp_path / 'images', '--grid', 2, '--mosaics', 1)
    assert 'tiles, joined' in printed and 'split at seams' in printed


@pytest.mark.slow
def test_100_megapixels_in_tiles_take_less_than_2_gb_above_the_model():
    printed = run('megapixels', '100', '--tiles', '2048:256')
    assert '10000x10000' in printed
    assert float(printed.split(' MB above')[0].rpartition(' ')[2]) < 2000


@pytest.mark.slow
def test_the_picture_of_seams(tmp_path):
    run('seams', '--picture', tmp_path / 'a.jpg')
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape[1] > 1000


@pytest.mark.web
def test_the_benchmark_of_the_page():
    printed = run('page', '--size', '400', '300', '--instances', '3')
    assert 'margin 10, until it is drawn: median' in printed
