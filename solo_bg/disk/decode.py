"""Decode the bytes of an image file to its pixels. Opens no file.

Pillow decodes every format. OpenCV's JPEG decoder gives the same pixels in three quarters of the time, but prints lines
of its own for damaged files, and its readers of other formats get many valid files wrong: see docs/formats.md.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.disk.header import PILLOW_ERRORS, UNREADABLE, in_a_line, open_image
from solo_bg.disk.tiff import TiffFile, describe, high_byte
from solo_bg.errors import ImageError

TRANSPOSES = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file's bytes, uint8 (H, W, 3), BGR.

    The orientation (EXIF's, or XMP's where EXIF has none) is applied, alpha dropped, grey repeated in all three
    channels, the high byte of 16 bits taken and colour profiles ignored. If a file holds several pictures, the first
    is taken.

    Raises:
        ImageError: the bytes are not an image, the image is not whole, of a kind that is not supported, or has more
            than `max_pixels`; the last is known from the header, before anything is decoded.
    """
    if not data:
        raise ImageError('is empty (0 bytes)')
    with open_image(data, max_pixels) as image:
        try:
            image.load()
            pixels = to_8_bits(upright(image), image)
        except ImageError:
            raise
        except PILLOW_ERRORS as error:
            described = describe(image.tag_v2) if isinstance(image, TiffFile) else ''
            kind = described or f'{image.format}, mode {image.mode}'
            raise ImageError(f'{UNREADABLE} ({len(data)} bytes of {kind}: {in_a_line(error)})') from error
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR)  # type: ignore


def decode_with_alpha(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file's bytes with their opacity, uint8 (H, W, 4), BGRA; opaque where the file has none.

    Raises:
        ImageError: as `decode_image`.
    """
    with open_image(data, max_pixels) as image:
        try:
            pixels = np.asarray(upright(image).convert('RGBA'))
        except PILLOW_ERRORS as error:
            raise ImageError(f'{UNREADABLE} ({image.format}, mode {image.mode}: {in_a_line(error)})') from error
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA)  # type: ignore


def upright(image: Image.Image) -> Image.Image:
    """The image, turned as its orientation asks for.

    `ImageOps.exif_transpose` does not serve here: it also writes the EXIF data anew, and fails where that cannot be
    done. Without an orientation that can be read, the image stays as it is stored.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return image
    return image.transpose(TRANSPOSES[orientation]) if orientation in TRANSPOSES else image


def to_8_bits(image: Image.Image, opened: Image.Image) -> NDArray[np.uint8]:
    """The pixels of a loaded image, uint8 (H, W, 3) RGB or (H, W) grey. `opened`: the same before it was turned."""
    if image.mode.startswith('I'):  # grey of 16 bits; converted to RGB it would be cut off at 255
        if isinstance(opened, TiffFile):
            return high_byte(np.asarray(image), opened.tag_v2)
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode == 'F':
        raise ImageError('has 32-bit floating-point pixels, which are not supported; expected 8 or 16 bits a channel')
    return np.asarray(image if image.mode in ('RGB', 'L') else image.convert('RGB'))
