"""Images of every awkward kind, written by Pillow and by hand, with the pixels that a reader should give."""

import io

import cv2
import numpy as np
from PIL import Image, ImageOps


def photo(height=40, width=56):
    """A smooth colourful picture, BGR, which JPEG keeps well."""
    small = np.random.default_rng(3).integers(30, 226, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def to_pillow(bgr):
    return Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))


def readable():
    """name -> (bytes, BGR pixels wanted, tolerance)."""
    bgr = photo()
    rgb = to_pillow(bgr)
    grey = np.repeat(np.asarray(rgb.convert('L'))[..., None], 3, 2)
    alpha = np.random.default_rng(4).integers(0, 256, bgr.shape[:2], dtype=np.uint8)
    rgba = Image.fromarray(np.dstack([bgr[..., ::-1], alpha]), 'RGBA')
    deep = np.random.default_rng(5).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    cases = {
        'rgb.png': (save(rgb, 'PNG'), bgr, 0),
        'rgb.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0), bgr, 8),
        'rgb.bmp': (save(rgb, 'BMP'), bgr, 0),
        'rgb.webp': (save(rgb, 'WEBP', lossless=True), bgr, 0),
        'rgb.tiff': (save(rgb, 'TIFF'), bgr, 0),
        'lzw.tif': (save(rgb, 'TIFF', compression='tiff_lzw'), bgr, 0),
        'one_pixel.png': (save(rgb.crop((0, 0, 1, 1)), 'PNG'), bgr[:1, :1], 0),
        'grey.png': (save(rgb.convert('L'), 'PNG'), grey, 0),
        'grey.jpg': (save(rgb.convert('L'), 'JPEG', quality=98), grey, 8),
        'grey_alpha.png': (save(rgb.convert('LA'), 'PNG'), grey, 0),
        'palette.png': (save(rgb.convert('P'), 'PNG'), np.asarray(rgb.convert('P').convert('RGB'))[..., ::-1], 0),
        'rgba.png': (save(rgba, 'PNG'), bgr, 0),
        'rgba.webp': (save(rgba, 'WEBP', lossless=True, exact=True), bgr, 0),
        'rgba.tif': (save(rgba, 'TIFF'), bgr, 0),
        'cmyk.jpg': (save(rgb.convert('CMYK'), 'JPEG', quality=98), bgr, 12),
        'deep.png': (cv2.imencode('.png', deep)[1].tobytes(), (deep >> 8).astype(np.uint8), 0),
        'deep.tif': (cv2.imencode('.tif', deep)[1].tobytes(), (deep >> 8).astype(np.uint8), 0),
        'deep_grey.png': (
            cv2.imencode('.png', deep[..., 0])[1].tobytes(),
            np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, 2),
            0,
        ),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = np.asarray(ImageOps.exif_transpose(with_orientation(rgb, orientation)))[..., ::-1]
        for suffix, kind, options, tolerance in (
            ('jpg', 'JPEG', {'quality': 98, 'subsampling': 0}, 8),
            ('png', 'PNG', {}, 0),
            ('webp', 'WEBP', {'lossless': True}, 0),
            ('tif', 'TIFF', {}, 0),
        ):
            cases[f'exif{orientation}.{suffix}'] = (save(rgb, kind, exif=exif, **options), turned, tolerance)
    return cases


def with_orientation(image, orientation):
    image = image.copy()
    image.getexif()[0x0112] = orientation
    return image


def broken():
    """name -> bytes of what is no image, or no whole one."""
    rgb = to_pillow(photo())
    cases = {
        'empty.jpg': b'',
        'text.jpg': b'this is no picture\n' * 20,
        'page.png': b'<!DOCTYPE html><html><body>404 Not Found</body></html>',
        'magic_only.png': b'\x89PNG\r\n\x1a\n',
        'magic_only.webp': b'RIFF\x24\0\0\0WEBPVP8L',
        'magic_only.tif': b'II*\0\x08\0\0\0',
    }
    for suffix, kind in (('jpg', 'JPEG'), ('png', 'PNG'), ('bmp', 'BMP'), ('webp', 'WEBP'), ('tif', 'TIFF')):
        whole = save(rgb, kind)
        cases |= {f'cut{tenth}.{suffix}': whole[: len(whole) * tenth // 10] for tenth in range(1, 10)}
    return cases
