import contextlib
import os
from pathlib import Path

import awkward
import cv2
import numpy as np
import pytest
from PIL import Image

from solo_bg.disk import decode, read
from solo_bg.errors import ImageError

READABLE, BROKEN = awkward.readable(), awkward.broken()


@pytest.mark.parametrize('name', READABLE)
def test_right_pixels(tmp_path, name):
    data, wanted, tolerance = READABLE[name]
    path = tmp_path / name
    path.write_bytes(data)
    pixels = read.read_image(path)
    assert pixels.dtype == np.uint8 and pixels.shape == wanted.shape
    assert np.abs(pixels.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize('name', BROKEN)
def test_broken_images_are_errors(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageError):
        read.read_image(path)


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(ImageError, match=r'missing\.png cannot be read: No such file'):
        read.read_image(tmp_path / 'missing.png')
    with pytest.raises(ImageError, match='is a folder'):
        read.read_image(tmp_path)
    with pytest.raises(ImageError, match='null byte'):
        read.read_image(Path('a\0b.png'))
    with pytest.raises(ImageError, match='too long'):
        read.read_image(tmp_path / ('a' * 300))


@pytest.mark.parametrize('seed', range(20))
def test_damaged_tiffs_with_alpha_are_read_or_refused(tmp_path, seed):
    """Flipped bytes in the header can promise a picture of gigabytes; whatever they do, it is an ImageError."""
    damaged = bytearray(READABLE['rgba.tif'][0])
    rng = np.random.default_rng(seed)
    for _ in range(3):
        damaged[rng.choice([*range(4, 200), *range(len(damaged) - 200, len(damaged))])] = rng.integers(256)
    (tmp_path / 'a.tif').write_bytes(damaged)
    with contextlib.suppress(ImageError):
        assert read.read_image(tmp_path / 'a.tif').dtype == np.uint8


BOMBS = awkward.bombs()


@pytest.mark.parametrize('name', BOMBS)
def test_bombs_are_refused_from_their_header(tmp_path, name, recwarn, monkeypatch):
    """Without a warning of Pillow's, whose own limit stays as it is, and without decoding."""
    monkeypatch.setattr(decode, 'decode_with_opencv', None)
    monkeypatch.setattr(decode, 'decode_with_pillow', None)
    (tmp_path / name).write_bytes(BOMBS[name])
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match=r'is (\d+)x\1, \d+ pixels; at most 100000000 are read \(--max-pixels\)'):
        read.read_image(tmp_path / name)
    assert not recwarn.list and before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize('name', ['rgb.png', 'rgb.jpg', 'rgb.bmp', 'rgb.webp', 'rgb.tiff', 'rgba.tif', 'a_gif.png'])
def test_the_limit_is_the_last_size_that_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(READABLE[name][0])
    assert read.read_image(tmp_path / name, 40 * 56).shape == (40, 56, 3)
    with pytest.raises(ImageError, match='is 56x40, 2240 pixels; at most 2239 are read'):
        read.read_image(tmp_path / name, 40 * 56 - 1)


def test_no_limit_of_pillows_is_in_the_way(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    for name in ('rgb.png', 'rgb.jpg', 'rgb.webp', 'rgb.tiff'):
        (tmp_path / name).write_bytes(READABLE[name][0])
        assert read.read_image(tmp_path / name).shape == (40, 56, 3)
    assert not recwarn.list


def test_images_over_the_limit_do_not_count_in_the_mean(tmp_path):
    for name, side, value in (('a.png', 4, 10), ('b.png', 5, 200)):
        cv2.imwrite(str(tmp_path / name), np.full((side, side, 3), value, np.uint8))
    assert read.mean_colour([tmp_path / 'a.png', tmp_path / 'b.png'], max_pixels=16) == (10, 10, 10)


def test_what_pillow_has_no_header_of_is_refused_though_opencv_reads_it(tmp_path):
    """Nobody could say how large it would become."""
    cv2.imwrite(str(tmp_path / 'a.tif'), np.zeros((4, 4, 3), np.float32))
    assert cv2.imread(str(tmp_path / 'a.tif'), cv2.IMREAD_UNCHANGED) is not None
    with pytest.raises(ImageError, match='unknown pixel mode'):
        read.read_image(tmp_path / 'a.tif')


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / 'a.jpg')
    with pytest.raises(ImageError, match='is a pipe'):
        read.read_image(tmp_path / 'a.jpg')
    assert read.image_size(tmp_path / 'a.jpg') is None


def test_files_far_larger_than_an_image_are_not_read(tmp_path, monkeypatch):
    (tmp_path / 'a.jpg').write_bytes(READABLE['rgb.jpg'][0])
    os.truncate(tmp_path / 'a.jpg', read.METADATA_BYTES + 8 * 2240)
    assert read.read_image(tmp_path / 'a.jpg', 2240).shape == (40, 56, 3)
    os.truncate(tmp_path / 'a.jpg', read.METADATA_BYTES + 8 * 2240 + 1)
    with pytest.raises(ImageError, match='has 67126785 bytes; at most 67126784 are read'):
        read.read_image(tmp_path / 'a.jpg', 2240)
    assert read.image_size(tmp_path / 'a.jpg', 2240) is None


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='no /proc')
def test_a_file_that_grows_while_it_is_read():
    """What /proc holds is longer than it says."""
    with pytest.raises(ImageError, match='changed while it was read: 0 bytes, then more'):
        read.read_image(Path('/proc/self/status'))


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'open', refuse)  # root reads everything
    with pytest.raises(ImageError, match='cannot be read: Permission denied'):
        read.read_image(tmp_path / 'a.png')


def test_no_file_stays_open(tmp_path):
    if not Path('/proc/self/fd').exists():
        pytest.skip('no /proc')
    for name in ('rgb.png', 'rgba.tif', 'rgb.webp'):
        (tmp_path / name).write_bytes(READABLE[name][0])
    os.mkfifo(tmp_path / 'pipe.png')
    before = len(os.listdir('/proc/self/fd'))
    for path in [*tmp_path.iterdir(), tmp_path]:
        with contextlib.suppress(ImageError):
            read.read_image(path)
        read.image_size(path)
    assert len(os.listdir('/proc/self/fd')) == before


def test_headers_are_given_as_sizes(tmp_path):
    for name, (data, wanted, _) in READABLE.items():
        (tmp_path / name).write_bytes(data)
        assert sorted(read.image_size(tmp_path / name)) == sorted(wanted.shape[:2]), name
