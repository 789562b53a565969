"""The benchmarks, on inputs so small that they only show that the programs work."""

import json
import subprocess
import sys

import cv2
import pytest
import run as benchmarks
from conftest import CONFIG, ROOT

from solo_bg.scenes import draw_scene

INPUTS = {'pipeline': 1, 'growth': 1, 'processes': 1, 'agreement': 1, 'disk': 2, 'proposals': 2}  # folders or files


def run(*argv):
    command = [sys.executable, ROOT / 'benchmarks/run.py', *argv]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('name', ['compose', 'inference', *INPUTS])
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
        assert 0 <= row['AR@10'] <= row['AR@100'] <= row['AR@1000'] <= 1 and row['seconds'] > 0
    assert cv2.imread(str(files['a.png'])).shape == (2 * 138, 10 * 160, 3)
    assert cv2.imread(str(files['maps.png'])).std() > 0
