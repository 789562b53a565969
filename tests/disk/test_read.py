import contextlib
import os
import shutil
import struct
import sys
from pathlib import Path

import awkward
import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile, ImageOps

from solo_bg.disk import header, read
from solo_bg.errors import ImageError

READABLE, BROKEN, NOT_IMAGES = awkward.readable(), awkward.broken(), awkward.not_images()


@pytest.mark.parametrize('name', READABLE)
def test_right_pixels(tmp_path, name):
    data, wanted, tolerance = READABLE[name]
    path = tmp_path / name
    path.write_bytes(data)
    pixels = read.read_image(path)
    assert pixels.dtype == np.uint8 and pixels.shape == wanted.shape
    assert np.abs(pixels.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize('name', BROKEN)
def test_broken_images_are_errors(tmp_path, name, capfd):
    """And the decoders print nothing."""
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageError):
        read.read_image(path)
    assert capfd.readouterr() == ('', '')


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
    """Flipped bytes in the header may announce gigabytes; whatever they do, it is an ImageError."""
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
    """Before decoding, without a warning by Pillow, and without a change to its own limit."""
    monkeypatch.setattr(ImageFile.ImageFile, 'load_prepare', None)
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


@pytest.mark.parametrize(
    ('dtype', 'said'), [('float32', '32-bit floating-point'), ('uint32', '32-bit'), ('int8', '8-bit signed')]
)
def test_a_tiff_that_is_not_supported_is_not_called_truncated(tmp_path, dtype, said):
    for shape, samples in (((4, 5), 1), ((4, 5, 3), 3)):
        tifffile.imwrite(tmp_path / 'a.tif', np.zeros(shape, dtype), photometric='rgb' if samples > 1 else 'minisblack')
        with pytest.raises(
            ImageError, match=rf'a\.tif is a TIFF of {samples} x {said} samples .* not supported'
        ) as error:
            read.read_image(tmp_path / 'a.tif')
        assert 'truncated' not in str(error.value)


@pytest.mark.parametrize('name', [name for name in NOT_IMAGES if not name.endswith('.tif')])
def test_what_is_not_an_image_is_named(tmp_path, name):
    (tmp_path / 'a.jpg').write_bytes(NOT_IMAGES[name][0])
    with pytest.raises(ImageError, match=f'a.jpg {NOT_IMAGES[name][1]}'):
        read.read_image(tmp_path / 'a.jpg')


def test_real_archives_are_named(tmp_path):
    (tmp_path / 'a.txt').write_text('text')
    for kind in ('zip', 'tar', 'gztar', 'bztar', 'xztar'):
        path = shutil.make_archive(str(tmp_path / 'archive'), kind, tmp_path, 'a.txt')
        with pytest.raises(ImageError, match='is an archive; expected an image'):
            read.read_image(Path(path))


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip('pillow_heif')
    rgb = awkward.to_pillow(awkward.photo(64, 96))
    for orientation in (1, 6):
        pillow_heif.from_pillow(rgb).save(tmp_path / 'a.heic', quality=100, exif=awkward.exif_of(orientation).tobytes())
        wanted = awkward.as_bgr(ImageOps.exif_transpose(awkward.with_orientation(rgb, orientation)))
        found = read.read_image(tmp_path / 'a.heic')
        assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).mean() < 4
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    with pytest.raises(ImageError, match='is a HEIC image; install pillow-heif to read it'):
        read.read_image(tmp_path / 'a.heic')


def test_an_orientation_counts_though_the_rest_of_exif_cannot_be_written_anew(tmp_path):
    """Where `ImageOps.exif_transpose` fails after it has turned the image."""
    exif = awkward.exif_of(6).tobytes()
    one_tag = exif[exif.index(b'MM') :] if b'MM' in exif else exif[exif.index(b'II') :]
    order = '>' if one_tag[:2] == b'MM' else '<'
    fields = struct.pack(f'{order}HHHIHH', 2, 0x0112, 3, 1, 6, 0) + struct.pack(f'{order}HHII', 0x0201, 4, 1, 2**32 - 1)
    broken = b'Exif\0\0' + one_tag[:8] + fields + bytes(4)
    rgb = awkward.to_pillow(awkward.photo())
    for name, kind in (('a.jpg', 'JPEG'), ('a.png', 'PNG'), ('a.webp', 'WEBP')):
        (tmp_path / name).write_bytes(awkward.save(rgb, kind, exif=broken))
        assert read.read_image(tmp_path / name).shape == (56, 40, 3)


def test_a_large_jpeg_is_read_beyond_the_part_that_holds_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(header, 'HEADER_BYTES', 2000)
    for name in ('rgb.jpg', 'stereo.jpg', 'animated_gif.jpg', 'a_ppm.png'):
        data, wanted, tolerance = READABLE[name]
        assert len(data) > 2000, name
        (tmp_path / name).write_bytes(data)
        assert np.abs(read.read_image(tmp_path / name).astype(int) - wanted).max() <= tolerance
    junk = b'\xff\xd8' + bytes(3000) + READABLE['rgb.jpg'][0][2:]
    (tmp_path / 'junk.jpg').write_bytes(junk)
    with pytest.raises(ImageError, match='is not an image'):
        read.read_image(tmp_path / 'junk.jpg')


def test_jpegs_have_the_pixels_that_opencv_and_mmdet_read(tmp_path):
    for name in ('rgb.jpg', 'progressive.jpg', 'halved_colours.jpg', 'restarts.jpg', 'grey.jpg', 'exif6.jpg'):
        data = READABLE[name][0]
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read.read_image(tmp_path / name), cv2.imdecode(np.frombuffer(data, np.uint8), 1))


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
    """Files in /proc are longer than the size that they report."""
    with pytest.raises(ImageError, match='changed while it was read: 0 bytes, then more'):
        read.read_image(Path('/proc/self/status'))


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'open', refuse)  # root can read everything
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


def test_the_size_of_a_large_tiff_whose_tags_come_last(tmp_path, monkeypatch):
    """OpenCV writes the pixels before the tags."""
    monkeypatch.setattr(read, 'HEADER_BYTES', 1000)
    cv2.imwrite(str(tmp_path / 'a.tif'), awkward.photo(), [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    assert (tmp_path / 'a.tif').stat().st_size > 6000
    assert read.image_size(tmp_path / 'a.tif') == (56, 40)


def test_a_bmp_that_is_not_supported_is_not_called_truncated(tmp_path):
    data, _, _ = awkward.masked_bmp(np.zeros((4, 4), np.uint32), (0x3FF00000, 0xFFC00, 0x3FF))  # 10 bits a channel
    (tmp_path / 'a.bmp').write_bytes(data)
    with pytest.raises(ImageError, match=r'a\.bmp is a BMP of a kind that is not supported'):
        read.read_image(tmp_path / 'a.bmp')
