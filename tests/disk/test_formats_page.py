"""docs/formats.md says what is read and what is refused; here are files of every row."""

import io
import re

import awkward
import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import ImageCms, features

from solo_bg.disk.decode import decode_image
from solo_bg.disk.formats import OPTIONAL_SUFFIXES, SUFFIXES
from solo_bg.errors import ImageError

PAGE = (ROOT / 'docs/formats.md').read_text()
READABLE, BROKEN = awkward.readable(), awkward.broken()


def more():
    """name -> bytes of kinds that are not in the corpus of awkward files."""
    rgb = awkward.to_pillow(awkward.photo())
    profiles = ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB')
    lab = ImageCms.profileToProfile(rgb, *profiles, outputMode='LAB')
    deep = np.zeros((20, 30, 4), np.uint16)
    return {
        'lab.tif': awkward.save(lab, 'TIFF'),
        'deep_cmyk.tif': awkward.tifffile_bytes(deep, 'separated', 'contig'),
        'planes.tif': awkward.tifffile_bytes(np.zeros((3, 20, 30), np.uint8), 'rgb', 'separate'),
        'white_is_zero.tif': awkward.tifffile_bytes(np.zeros((20, 30), np.uint8), 'miniswhite'),
        'fax.tif': awkward.save(rgb.convert('1'), 'TIFF', compression='group3'),
        'two_bits.tif': awkward.grey_tiff(bytes(20 * 8), 32, 20, 2),
        'int32.tif': awkward.tifffile_bytes(np.zeros((20, 30), np.int32), 'minisblack'),
        'deep.jp2': cv2.imencode('.jp2', np.zeros((96, 96, 3), np.uint16))[1].tobytes(),
        'float.pfm': b'Pf 3 2 -1.0\n' + bytes(24),
        'openexr.exr': b'\x76\x2f\x31\x01' + bytes(500),
        'photoshop.psd': b'8BPS\0\1' + bytes(500),
    }


ROWS = {
    'JPEG, baseline': 'rgb.jpg progressive.jpg grey.jpg halved_colours.jpg restarts.jpg',
    'JPEG, CMYK': 'cmyk.jpg ycck.jpg',
    'JPEG, several pictures': 'stereo.jpg two_pictures.jpg',
    'JPEG, more than 500': 'many_scans.jpg cut5.jpg hole.jpg',
    'PNG, 8 bits': 'grey.png rgb.png grey_alpha.png rgba.png interlaced.png',
    'PNG, 1, 2 and 4': 'grey1.png grey2.png grey4.png palette.png palette1.png palette2_alpha.png palette4.png',
    'PNG, 16 bits': 'deep.png deep_grey.png deep_rgba.png',
    'PNG, animated': 'animated.png animated_later.png',
    'WebP, lossy': 'lossy.webp rgb.webp rgba.webp',
    'WebP, animated': 'animated.webp',
    'TIFF, 8 bits': 'grey.tif rgb.tiff palette.tif cmyk.tif ycbcr.tif lab.tif rgba.tif',
    'TIFF, 1, 2 and 4': 'fax.tif two_bits.tif four_bits.tif',
    'TIFF, 16 bits': 'deep.tif deep_white_is_zero.tif deep_cmyk.tif',
    'TIFF, separate planes': 'planes.tif deep_planes.tif deep_planes_alpha.tif deep_planes_deflate.tif',
    'TIFF, white is zero': 'white_is_zero.tif deep_white_is_zero.tif',
    'TIFF, in strips': 'deep_planes_deflate.tif tiled.tif big_endian.tif',
    'TIFF, LZW': 'lzw.tif deflate.tif lzma.tif packbits.tif fax.tif jpeg.tif old_jpeg.tif',
    'TIFF, several pages': 'pages.tif',
    'TIFF, samples beside RGB': 'five_samples.tif',
    'TIFF, signed': 'int8.tif float.tif int32.tif',
    'TIFF, bands': 'bands.tif',
    'TIFF, a compressed strip': 'damaged_strip.tif',
    'BMP, 1, 4, 8': 'one_bit.bmp four_bits.bmp palette.bmp rgb.bmp rgba.bmp top_down.bmp',
    'BMP, 5-5-5': '555.bmp 565.bmp header52.bmp',
    'GIF, with': 'a_gif.gif animated_gif.jpg',
    'AVIF, with': 'exif1.avif exif6.avif exif7.avif',
    'HEIC, needs': 'heic',
    'JPEG 2000, 8 and 16': 'a_jpeg2000.jpg deep_jpeg2000.jpg deep.jp2',
    'PPM and PGM, 8 and 16': 'a_ppm.png deep_pgm.png',
    'PPM and PGM, floating-point': 'float.pfm',
    'JPEG XL, OpenEXR': 'jxl.jpg openexr.exr vector.png pdf.jpg photoshop.psd',
    'videos, archives': 'video.jpg matroska.jpg zip.jpg page.jpg',
}


def rows_of_page():
    """(format and kind, result) of each row of the table."""
    rows = re.findall(r'^\| (.*?) \| (.*?) ?\| (read|refused)\b.* \|$', PAGE, re.MULTILINE)
    return [(f'{form}, {kind}', result) for form, kind, result in rows]


def test_every_row_has_files_and_no_other_row_has():
    table = PAGE.split('|---|---|---|')[1].split('\n\n')[0].strip().splitlines()
    assert len(rows_of_page()) == len(table) == len(ROWS)
    for start in ROWS:
        assert sum(row.startswith(start) for row, _ in rows_of_page()) == 1, start


@pytest.mark.parametrize('start', ROWS)
def test_files_of_a_row_are_read_or_refused_as_it_says(start):
    expected = next(result for row, result in rows_of_page() if row.startswith(start))
    if start.startswith('AVIF') and not features.check('avif'):
        pytest.skip('this Pillow has no AVIF')
    others = more()
    if start.startswith('HEIC'):
        heif = pytest.importorskip('pillow_heif')
        buffer = io.BytesIO()
        heif.from_pillow(awkward.to_pillow(awkward.photo(64, 64))).save(buffer)
        others['heic'] = buffer.getvalue()
    for name in ROWS[start].split():
        data = READABLE[name][0] if name in READABLE else others.get(name) or BROKEN[name]
        try:
            pixels, result = decode_image(data), 'read'
        except ImageError:
            result = 'refused'
        assert result == expected, name
        if name in READABLE:
            assert np.abs(pixels.astype(int) - READABLE[name][1]).max() <= READABLE[name][2]


def test_the_page_names_every_suffix():
    folders = PAGE.split('## Folders')[1].split('A file that you name')[0]
    assert set(re.findall(r'`(\.\w+)`', folders)) == SUFFIXES | set(OPTIONAL_SUFFIXES)
