"""Foreground networks that OpenVINO computes, against onnxruntime."""

import json

import cv2
import numpy as np
import pytest
import tiny_onnx
import torch
from test_foreground import build, frames, image_of, refuse
from test_sources import SourceContract

from solo_bg.cli import main as cli

pytest.importorskip('openvino')
pytest.importorskip('onnxruntime')


@pytest.fixture
def plain(tmp_path):
    return tiny_onnx.save_plain(tmp_path / 'plain.onnx')


@pytest.fixture
def recurrent(tmp_path):
    return tiny_onnx.save_recurrent(tmp_path / 'recurrent.onnx')


@pytest.fixture
def pixels(rng):
    return cv2.resize(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), (90, 60), interpolation=cv2.INTER_CUBIC)


class TestPlain(SourceContract):
    @pytest.fixture
    def source(self, plain):
        return build(plain, cfg_options=['spread=true', 'peak=true'], backend='openvino')


class TestRecurrent(SourceContract):
    @pytest.fixture
    def source(self, recurrent):
        return build('rvm', recurrent, backend='openvino')


def difference(one, other):
    return np.abs(one.alpha.numpy().astype(int) - other.alpha.numpy()).max()


def test_alpha_is_that_of_onnxruntime(plain, pixels):
    one = build(plain, backend='openvino')([image_of(pixels)])[0]
    other = build(plain, backend='torch')([image_of(pixels)])[0]
    assert difference(one, other) <= 1 and np.ptp(other.alpha.numpy()) > 50


def test_half_precision_inputs(tmp_path, pixels):
    path = tiny_onnx.save_half(tmp_path / 'half.onnx')
    one, other = (build(path, backend=backend)([image_of(pixels)])[0] for backend in ('openvino', 'torch'))
    assert difference(one, other) <= 1 and np.ptp(other.alpha.numpy()) > 50


def test_states_are_carried_and_stills_do_not_remember(recurrent):
    source = build('rvm', recurrent, backend='openvino')
    ours, theirs = source.start_clip(), build('rvm', recurrent, backend='torch').start_clip()
    for frame in frames(4):
        assert difference(ours(frame), theirs(frame)) <= 1
    first, again = (source(frames(1))[0] for _ in range(2))
    assert torch.equal(first.alpha, again.alpha)


def test_it_gets_one_image_at_a_time(plain):
    assert build(plain, backend='openvino').at_once == 1


def test_the_description_names_library_and_precision(plain):
    assert build(plain).describe().items() >= {'backend': 'onnxruntime', 'precision': 'file'}.items()
    described = build(plain, backend='openvino').describe()
    assert described.items() >= {'backend': 'openvino', 'precision': 'fp32'}.items()


def test_files_that_do_not_fit(tmp_path, plain, recurrent):
    refuse(tiny_onnx.save_flat(tmp_path / 'flat.onnx'), r'expected floats of shape \(1, 3, H, W\)', backend='openvino')
    refuse('u2net', r'takes images of 32x32 only.*size=320', checkpoint=plain, backend='openvino')
    refuse('rvm', 'has no input downsample_ratio, r1i', checkpoint=plain, backend='openvino')
    refuse(recurrent, 'has the inputs src, r1i.*expected one, the image', backend='openvino')


def test_files_that_are_broken(tmp_path, plain):
    refuse(tmp_path / 'none.onnx', 'there is no file', backend='openvino')
    (tmp_path / 'short.onnx').write_bytes(plain.read_bytes()[:-40])
    refuse(tmp_path / 'short.onnx', 'OpenVINO cannot load', backend='openvino')
    (tmp_path / 'text.onnx').write_text('no network')
    refuse(tmp_path / 'text.onnx', 'OpenVINO cannot load', backend='openvino')


def test_without_openvino(plain, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'openvino', None)
    refuse(plain, r'pip install "solo_bg\[openvino\]"', backend='openvino')


def test_the_command(tmp_path, plain, pixels):
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    argv = [str(plain), 'auto', str(tmp_path / 'a.png'), '--styles', 'cutout', '--device', 'cpu']
    assert cli.main([*argv, '-o', str(tmp_path / 'one'), '--backend', 'openvino']) == 0
    assert cli.main([*argv, '-o', str(tmp_path / 'other')]) == 0
    one, other = (cv2.imread(str(tmp_path / name / 'cutout/a.png'), -1)[..., 3] for name in ('one', 'other'))
    assert np.abs(one.astype(int) - other).max() <= 1
    libraries = [
        json.loads((tmp_path / name / 'run.json').read_text())['depends']['source'] for name in ('one', 'other')
    ]
    assert [one['backend'] for one in libraries] == ['openvino', 'onnxruntime']
