"""Encode a picture as the bytes of an image file. Writes nothing to disk."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from solo_bg.errors import ImageError

Pixels = NDArray[Any]
# the formats' limits; beyond them the encoders print lines of their own
LONGEST_SIDE = {'.jpg': 65500, '.jpeg': 65500, '.png': 1_000_000, '.webp': 16383}


def encode_image(picture: Pixels, suffix: str, quality: int = 95) -> bytes:
    """Encode a picture as the bytes of a file.

    Args:
        picture: uint8 (H, W, 3) BGR, (H, W, 4) BGRA or (H, W); or uint16 (H, W).
        suffix: `.png`, `.jpg`, `.webp` (lossless, colours kept under alpha 0) or any other that OpenCV writes.
        quality: JPEG quality, 1 to 100.

    Raises:
        ImageError: the format cannot hold the picture.
    """
    if max(picture.shape[:2]) > (longest := LONGEST_SIDE.get(suffix, 2**31)):
        size = f'{picture.shape[1]}x{picture.shape[0]}'
        raise ImageError(f'is {size}, and a {suffix[1:]} has sides of at most {longest} pixels; choose another format')
    if suffix == '.webp':
        return encode_webp(picture)
    if suffix in ('.jpg', '.jpeg') and picture.ndim == 3 and picture.shape[2] == 4:
        raise ImageError('a JPEG has no alpha; choose png or webp')
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in ('.jpg', '.jpeg') else []
    try:
        done, data = cv2.imencode(suffix, picture, flags)
    except cv2.error as error:
        raise ImageError(f'cannot be encoded as {suffix}: {error.err}') from error
    if not done:
        raise ImageError(f'cannot be encoded as {suffix} (a picture {picture.shape[1]}x{picture.shape[0]})')
    return data.tobytes()


def encode_webp(picture: Pixels) -> bytes:
    """Encode as lossless WebP. Pillow does it, because OpenCV changes the colours under alpha 0."""
    order = [2, 1, 0, 3][: picture.shape[2]]
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(picture[..., order])).save(
            buffer, 'WEBP', lossless=True, exact=True, method=2
        )
    except (ValueError, OSError) as error:
        raise ImageError(f'cannot be encoded as WebP: {error}') from error
    return buffer.getvalue()
