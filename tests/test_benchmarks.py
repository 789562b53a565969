"""The benchmarks, on inputs so small that they only show that the programs work."""

import json
import subprocess
import sys

import cv2
import pytest
import run as benchmarks
from conftest import CONFIG, ROOT

from solo_bg.scenes import draw_scene

# folders or files that each must be given
INPUTS = {'pipeline': 1, 'growth': 1, 'processes': 1, 'agreement': 1, 'server': 1, 'disk': 2}


def run(*argv):
    command = [sys.executable, ROOT / 'benchmarks/run.py', *argv]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('name', ['compose', 'inference', 'page', *INPUTS])
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
def test_the_benchmark_of_the_server(tmp_path):
    for name in 'abcd':
        cv2.imwrite(str(tmp_path / f'{name}.png'), draw_scene(3, 96, 128)[0])
    printed = run('server', tmp_path, '--device', 'cpu', '--rounds', '1', '--seconds', '3', '--clients', '2')
    assert '4 images, processor time' in printed and 'statuses {200: ' in printed and 'resident memory' in printed


@pytest.mark.web
def test_the_benchmark_of_the_page():
    printed = run('page', '--size', '400', '300', '--instances', '3')
    assert 'margin 10, until it is drawn: median' in printed
