"""The benchmarks, on inputs so small that they only show that the programs work."""

import json
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

# folders or files that a benchmark must be given
INPUTS = {'pipeline': 1, 'growth': 1, 'processes': 1, 'agreement': 1, 'disk': 2, 'sources': 2}


def run(*argv):
    command = [sys.executable, ROOT / 'benchmarks/run.py', *argv]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('name', ['compose', 'inference', *INPUTS])
def test_each_benchmark_has_a_name(name):
    args = benchmarks.build_parser().parse_args([name, *['x'] * INPUTS.get(name, 0)])
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
