"""Published weights against onnxruntime called by hand and against rembg itself.

They are looked for in the folder that SOLO_BG_WEIGHTS names (default: checkpoints/): u2netp.onnx, modnet.onnx and
rvm_mobilenetv3_fp32.onnx. rembg must be importable for its test; what is missing is skipped.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from test_foreground import IMAGENET, build, image_of, rembg_by_hand

from solo_bg.disk.read import read_image

onnxruntime = pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.slow

WEIGHTS = Path(os.environ.get('SOLO_BG_WEIGHTS', ROOT / 'checkpoints'))
PHOTOS = sorted((ROOT / 'demo/images').iterdir())[:4]


def weights(name):
    if not (WEIGHTS / name).is_file():
        pytest.skip(f'{WEIGHTS / name} is not there')
    return WEIGHTS / name


@pytest.mark.parametrize('photo', PHOTOS, ids=lambda path: path.stem)
def test_u2netp_by_hand(photo):
    path, pixels = weights('u2netp.onnx'), read_image(photo)
    found = build('u2netp', path)([image_of(pixels)])[0]
    np.testing.assert_array_equal(found.alpha.numpy(), rembg_by_hand(path, pixels, 320, *IMAGENET))


@pytest.mark.parametrize('photo', PHOTOS, ids=lambda path: path.stem)
def test_u2netp_of_rembg(photo, monkeypatch):
    rembg = pytest.importorskip('rembg')
    monkeypatch.setenv('U2NET_HOME', str(weights('u2netp.onnx').parent))  # it downloads nothing that is there
    pixels = read_image(photo)
    session = rembg.new_session('u2netp', providers=['CPUExecutionProvider'])
    image = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    expected = np.array(rembg.remove(image, session=session, only_mask=True))
    found = build('u2netp', weights('u2netp.onnx'))([image_of(pixels)])[0]
    np.testing.assert_array_equal(found.alpha.numpy(), expected)


@pytest.mark.parametrize('photo', PHOTOS[:2], ids=lambda path: path.stem)
def test_modnet_by_hand(photo):
    path, pixels = weights('modnet.onnx'), read_image(photo)
    pixels = cv2.resize(pixels, (1200, 800))  # shorter side 512: 768 x 512
    resized = cv2.resize(pixels, (768, 512), interpolation=cv2.INTER_AREA)
    given = ((resized[..., ::-1] - 127.5) / 127.5).transpose(2, 0, 1)[None].astype(np.float32)
    matte = onnxruntime.InferenceSession(str(path)).run(None, {'input': given})[0][0, 0]
    expected = cv2.resize(matte, (1200, 800), interpolation=cv2.INTER_LINEAR) * 255
    found = build('modnet', path)([image_of(pixels)])[0].alpha.numpy()
    assert np.abs(found - expected).max() < 1.5  # two roundings


def test_rvm_by_hand_over_a_clip():
    path = weights('rvm_mobilenetv3_fp32.onnx')
    photo = read_image(PHOTOS[0])
    clip = [np.ascontiguousarray(np.roll(photo, 4 * step, 1)) for step in range(3)]
    session = onnxruntime.InferenceSession(str(path))
    states = [np.zeros((1, 1, 1, 1), np.float32)] * 4
    ratio = np.array([min(1, 512 / max(photo.shape))], np.float32)
    source = build('rvm', path)
    next_frame = source.start_clip()
    for index, frame in enumerate(clip):
        given = np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        feed = {'src': given, 'downsample_ratio': ratio} | {f'r{k + 1}i': state for k, state in enumerate(states)}
        _, alpha, *states = session.run(['fgr', 'pha', 'r1o', 'r2o', 'r3o', 'r4o'], feed)
        found = next_frame(image_of(frame)).alpha.numpy()
        assert np.abs(found - alpha[0, 0] * 255).max() <= 1.01
        if index:
            still = source([image_of(frame)])[0].alpha.numpy()
            assert (still != found).any()
