"""TIFFs of every layout, compared pixel by pixel with what was written and with tifffile's own reader."""

import io
import itertools
import struct

import awkward
import numpy as np
import pytest
import tifffile
from PIL import Image

from solo_bg.disk.decode import decode_image
from solo_bg.errors import ImageError

HEIGHT, WIDTH = 20, 28
LAYOUTS = {'one strip': {}, 'strips': {'rowsperstrip': 8}, 'tiles': {'tile': (16, 16)}}
COMPRESSIONS = {'uncompressed': {}, 'deflate': {'compression': 'zlib'}, 'lzma': {'compression': 'lzma'}}
COMPRESSIONS['deflate, predictor'] = {'compression': 'zlib', 'predictor': 2}
SAMPLES = {'minisblack': (1, 2, 3, 4), 'miniswhite': (1, 3), 'rgb': (3, 4, 5), 'separated': (4, 5)}
MATRIX = [
    (dtype, photometric, samples, planar)
    for dtype, photometric in itertools.product(['uint8', 'uint16', 'int8', 'int16', 'uint32', 'float32'], SAMPLES)
    for samples in SAMPLES[photometric]
    for planar in (['contig', 'separate'] if samples > 1 else ['contig'])
]


def write(pixels, photometric, planar, **options):
    """(H, W, samples) as a TIFF."""
    stored = np.moveaxis(pixels, 2, 0) if planar == 'separate' else pixels if pixels.shape[2] > 1 else pixels[..., 0]
    extra = {} if pixels.shape[2] == 1 else {'planarconfig': planar}
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stored, photometric=photometric, metadata=None, **extra, **options)
    buffer.seek(0)
    assert np.array_equal(tifffile.imread(buffer), stored)
    return buffer.getvalue()


def random_pixels(rng, dtype, samples):
    if dtype == 'float32':
        return rng.random((HEIGHT, WIDTH, samples), np.float32)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (HEIGHT, WIDTH, samples), dtype=dtype, endpoint=True)


def colours(pixels, photometric):
    """The BGR pixels that unsigned samples stand for."""
    high = (pixels >> (8 * pixels.itemsize - 8)).astype(np.uint8)
    if photometric == 'separated':
        ink = high.astype(int)
        return np.rint((255 - ink[..., 2::-1]) * (255 - ink[..., 3:4]) / 255)
    if photometric == 'rgb':
        return high[..., 2::-1]
    return np.repeat(high[..., :1] if photometric == 'minisblack' else 255 - high[..., :1], 3, 2)


def is_supported(dtype, photometric, samples, planar, order):
    if dtype not in ('uint8', 'uint16') or (samples > 1 and photometric.startswith('minis')):
        return False
    if dtype == 'uint8':
        return True
    return (photometric, order) != ('miniswhite', '>') and (samples < 5 or planar == 'separate')


@pytest.mark.parametrize(('dtype', 'photometric', 'samples', 'planar'), MATRIX)
def test_matrix(rng, dtype, photometric, samples, planar, capfd):
    """Right pixels, or an error that names the kind, whatever the compression, layout and byte order."""
    pixels = random_pixels(rng, dtype, samples)
    for options, layout, order in itertools.product(COMPRESSIONS.values(), LAYOUTS.values(), '<>'):
        if dtype not in ('uint8', 'uint16') and ('predictor' in options or layout or order == '>'):
            continue  # refused by their tags, whatever the rest is
        data = write(pixels, photometric, planar, byteorder=order, **options, **layout)
        if is_supported(dtype, photometric, samples, planar, order):
            difference = np.abs(decode_image(data).astype(int) - colours(pixels, photometric)).max()
            assert difference <= (photometric == 'separated'), (options, layout, order)
        else:
            with pytest.raises(ImageError, match=rf'is a TIFF of {samples} x \d+-bit .*, which is not supported'):
                decode_image(data)
    assert capfd.readouterr() == ('', '')


def test_what_tifffile_writes_for_channels_first(rng):
    """No photometric is given, and the channels come first."""
    for samples in (3, 4):
        pixels = random_pixels(rng, 'uint16', samples)
        buffer = io.BytesIO()
        with pytest.warns(DeprecationWarning):
            tifffile.imwrite(buffer, np.moveaxis(pixels, 2, 0))
        np.testing.assert_array_equal(decode_image(buffer.getvalue()), colours(pixels, 'rgb'))


@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize('compression', [None, 'zlib'])
def test_ycbcr(planar, compression):
    bgr = awkward.photo()
    ycbcr = np.asarray(awkward.to_pillow(bgr).convert('YCbCr'))
    data = write(ycbcr, 'ycbcr', planar, compression=compression, subsampling=(1, 1))
    assert np.abs(decode_image(data).astype(int) - bgr).max() <= 4


@pytest.mark.parametrize('bits', [2, 4, 12])
def test_grey_of_other_depths(bits):
    """tifffile writes them only with imagecodecs, so the samples are packed here."""
    samples = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH))
    packed = np.packbits(
        (samples[..., None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8).reshape(HEIGHT, -1), 1
    )
    wanted = samples >> 4 if bits == 12 else samples * (255 // (2**bits - 1))
    for order in '<>' if bits < 12 else '<':  # 12 bits are refused in the other order
        found = decode_image(awkward.grey_tiff(packed.tobytes(), WIDTH, HEIGHT, bits, order))
        np.testing.assert_array_equal(found, np.repeat(wanted[..., None], 3, 2))


def test_compressions_that_pillow_writes():
    """tifffile would need imagecodecs for them."""
    rgb = awkward.to_pillow(awkward.photo())
    for compression, tolerance in (('tiff_lzw', 0), ('packbits', 0), ('tiff_deflate', 0), ('jpeg', 25)):
        data = awkward.save(rgb, 'TIFF', compression=compression)
        assert np.abs(decode_image(data).astype(int) - awkward.photo()).max() <= tolerance
    cmyk = awkward.save(rgb.convert('CMYK'), 'TIFF', compression='jpeg', quality=98)
    assert np.abs(decode_image(cmyk).astype(int) - awkward.photo()).max() <= 8


def test_old_style_jpeg_is_read():
    data = awkward.old_jpeg_tiff(awkward.to_pillow(awkward.photo()))
    assert np.abs(decode_image(data).astype(int) - awkward.photo()).max() <= 30  # colours at half the size


@pytest.mark.parametrize('compression', ['tiff_lzw', 'tiff_adobe_deflate', 'packbits', 'jpeg', 'lzma'])
@pytest.mark.parametrize('damage', ['zeros', 'second half'])
def test_a_damaged_strip_is_noticed(compression, damage, capfd):
    """Silently: libtiff would print a line."""
    rgb = awkward.to_pillow(awkward.photo(400))
    data = bytearray(awkward.save(rgb, 'TIFF', compression=compression, strip_size=2000))
    with Image.open(io.BytesIO(data)) as image:
        starts, lengths = image.tag_v2[273], image.tag_v2[279]
    assert len(starts) > 10
    start, length = starts[5], lengths[5]
    kept = length // 2 if damage == 'second half' else 0
    decode_image(bytes(data))
    data[start + kept : start + length] = bytes(length - kept)
    with pytest.raises(ImageError):
        decode_image(bytes(data))
    assert capfd.readouterr() == ('', '')


def test_a_page_that_is_not_supported_does_not_matter(rng):
    pixels, buffer = random_pixels(rng, 'uint8', 3), io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(pixels, photometric='rgb')
        writer.write(np.zeros((4, 4, 3), np.float32), photometric='rgb')
    np.testing.assert_array_equal(decode_image(buffer.getvalue()), pixels[..., ::-1])


def test_a_small_image_with_a_huge_tile_is_refused(rng):
    """The tile alone would take gigabytes."""
    data = write(random_pixels(rng, 'uint8', 3), 'rgb', 'contig', tile=(16, 16), byteorder='<')
    for tag in (322, 323):
        field = data.index(struct.pack('<HH', tag, 4 if struct.pack('<HHI', tag, 4, 1) in data else 3))
        data = data[:field] + struct.pack('<HHII', tag, 4, 1, 30000) + data[field + 12 :]
    with pytest.raises(ImageError, match=r'has tiles of 30000x30000 pixels; at most'):
        decode_image(data)


@pytest.mark.parametrize('mode', ['LA', 'PA', 'P', 'RGBX', 'LAB', '1'])
def test_modes_of_pillow(mode):
    rgb = awkward.to_pillow(awkward.photo())
    if mode == 'LAB':
        from PIL import ImageCms

        image = ImageCms.profileToProfile(
            rgb, ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB'), outputMode='LAB'
        )
    else:
        image = rgb.convert({'PA': 'P', 'RGBX': 'RGB'}.get(mode, mode)).convert(mode)
    wanted = awkward.as_bgr(image)
    assert np.abs(decode_image(awkward.save(image, 'TIFF')).astype(int) - wanted).max() == 0
