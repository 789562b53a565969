import contextlib
from pathlib import Path

import awkward
import cv2
import numpy as np
import pytest

from solo_bg import files
from solo_bg.errors import ImageError, SetupError

READABLE, BROKEN = awkward.readable(), awkward.broken()


@pytest.mark.parametrize('name', READABLE)
def test_right_pixels(tmp_path, name):
    data, wanted, tolerance = READABLE[name]
    path = tmp_path / name
    path.write_bytes(data)
    pixels = files.read_image(path)
    assert pixels.dtype == np.uint8 and pixels.shape == wanted.shape
    assert np.abs(pixels.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize('name', BROKEN)
def test_broken_images_are_errors(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageError):
        files.read_image(path)


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(ImageError, match='No such file'):
        files.read_image(tmp_path / 'missing.png')
    with pytest.raises(ImageError, match='is a folder'):
        files.read_image(tmp_path)
    with pytest.raises(ImageError, match='null byte'):
        files.read_image(Path('a\0b.png'))
    with pytest.raises(ImageError, match='too long'):
        files.read_image(tmp_path / ('a' * 300))
    cv2.imwrite(str(tmp_path / 'float.tif'), np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ImageError, match='unknown pixel mode'):
        files.read_image(tmp_path / 'float.tif')


@pytest.mark.parametrize('suffix', ['.png', '.webp'])
@pytest.mark.parametrize('channels', [3, 4])
def test_lossless_round_trip(tmp_path, rng, suffix, channels):
    picture = rng.integers(0, 256, (20, 30, channels), dtype=np.uint8)
    if channels == 4:
        picture[..., 3] = np.where(picture[..., 3] > 127, 255, 0)  # colours under alpha 0 must survive
    files.write_image(tmp_path / f'a{suffix}', picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / f'a{suffix}'), cv2.IMREAD_UNCHANGED), picture)


def test_sixteen_bits_round_trip(tmp_path, rng):
    picture = rng.integers(0, 65536, (20, 30)).astype(np.uint16)
    files.write_image(tmp_path / 'a.png', picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED), picture)


def test_jpeg_quality(rng):
    picture = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert len(files.encode_image(picture, '.jpg', 20)) < len(files.encode_image(picture, '.jpg', 95))


def test_what_a_format_cannot_hold_is_an_error():
    with pytest.raises(ImageError, match='a JPEG has no alpha'):
        files.encode_image(np.zeros((2, 2, 4), np.uint8), '.jpg')
    with pytest.raises(ImageError, match='16383'):
        files.encode_image(np.zeros((1, 16400, 3), np.uint8), '.webp')
    with pytest.raises(ImageError, match='cannot be encoded'):
        files.encode_image(np.zeros((2, 2, 3), np.uint8), '.nothing')


def test_a_failed_write_leaves_nothing_and_keeps_what_was(tmp_path, monkeypatch):
    target = tmp_path / 'a.png'
    target.write_bytes(b'before')

    def full(self, data):
        Path.open(self, 'wb').close()
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(ImageError, match='No space left on device'):
        files.write_bytes(target, b'after')
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ['a.png'] and target.read_bytes() == b'before'


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / 'x').write_bytes(b'a file')
    with pytest.raises(ImageError, match='cannot write'):
        files.write_bytes(tmp_path / 'x' / 'a.png', b'data')


def test_write_all_is_all_or_none(tmp_path):
    (tmp_path / 'b').mkdir()
    with pytest.raises(ImageError, match='cannot write'):
        files.write_all(tmp_path, {'x/a': b'1', 'b': b'2', 'c': b'3'})
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    files.make_folder(tmp_path / 'new' / 'one')
    assert list((tmp_path / 'new/one').iterdir()) == []
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(SetupError, match='results cannot go to'):
        files.make_folder(tmp_path / 'file')


@pytest.mark.parametrize('seed', range(20))
def test_damaged_tiffs_with_alpha_are_read_or_refused(tmp_path, seed):
    """Flipped bytes in the header can promise a picture of gigabytes; whatever they do, it is an ImageError."""
    damaged = bytearray(READABLE['rgba.tif'][0])
    rng = np.random.default_rng(seed)
    for _ in range(3):
        damaged[rng.choice([*range(4, 200), *range(len(damaged) - 200, len(damaged))])] = rng.integers(256)
    (tmp_path / 'a.tif').write_bytes(damaged)
    with contextlib.suppress(ImageError):
        assert files.read_image(tmp_path / 'a.tif').dtype == np.uint8


def test_a_header_of_a_huge_tiff_is_not_pillows_to_refuse(tmp_path):
    """20000 x 20000 of which nothing follows: Pillow calls it a bomb, OpenCV cannot read it: one line."""
    import struct

    tags = [(256, 20000), (257, 20000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 20000), (279, 100)]
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
    (tmp_path / 'a.tif').write_bytes(
        b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', len(tags)) + entries + bytes(4)
    )
    with pytest.raises(ImageError):
        files.read_image(tmp_path / 'a.tif')
