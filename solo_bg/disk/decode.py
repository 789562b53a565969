"""Bytes of an image file -> its pixels. Headers by Pillow, pixels by OpenCV but where it errs. Opens no file.

OpenCV ignores a WebP's orientation and multiplies a TIFF's alpha into its colours. Its PNG reader (4.12, new with
animations) crashes the process at some damaged animations, and takes whatever a damaged length asks for: 2 GB.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.errors import ImageError

# the formats that OpenCV reads; Pillow's other plugins never see a file
PILLOW_FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'AVIF', 'JPEG2000', 'PPM', 'SUN')
CAPPED_HEADERS = ('JPEG', 'GIF', 'PPM')  # Pillow walks over junk in their headers byte by byte, so that
HEADER_BYTES = 16 << 20  # it is given no more than this of a file
START_OF_SCAN = b'\xff\xda'
MAX_SCANS = 500  # a progressive JPEG has about 10; each further scan of 137 bytes costs a decoding of the whole image
END_OF_IMAGE = b'\xff\xd9'
PNG_TEXT_CHUNKS = (b'iCCP', b'tEXt', b'zTXt', b'iTXt')
UNREADABLE = 'is no image that can be decoded, or is truncated'
# what Pillow raises at bytes that it cannot open or decode
PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, AssertionError),
    *(RuntimeError, struct.error, zlib.error, Image.DecompressionBombError),
)
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Image.init()  # all plugins; `PILLOW_FORMATS` are looked up among them


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file's bytes, uint8 (H, W, 3), BGR.

    EXIF orientation is applied, alpha dropped, grey repeated, 16 bits cut to their high byte, profiles ignored; of
    several pictures in a file the first is taken.

    Raises:
        ImageError: no image, none that can be read whole, or one of more than `max_pixels`, by its header.
    """
    if not data:
        raise ImageError('is empty (0 bytes)')
    with open_header(io.BytesIO(without_texts(data))) as image:
        width, height = image.size
        check_header(image, data, max_pixels)
        by_pillow = image.format in ('PNG', 'WEBP') or (image.format == 'TIFF' and image.mode in ('RGBA', 'LA'))
        pixels = decode_with_pillow(image) if by_pillow else decode_with_opencv(data)
        if pixels is None:
            raise ImageError(f'{UNREADABLE} ({len(data)} bytes of {image.format}, mode {image.mode})')
    if sorted(pixels.shape[:2]) != sorted((width, height)):
        raise ImageError(f'is {width}x{height} by its header, but {pixels.shape[1]}x{pixels.shape[0]} by its data')
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f'has {pixels.dtype} pixels; expected 8 or 16 bits a channel')
    return pixels.astype(np.uint8, copy=False)


def without_texts(data: bytes) -> bytes:
    """A PNG without its profile and its texts, of which Pillow reads no more than 1 MB and among which it looks for an
    orientation (XMP's); anything else as it is."""
    if not data.startswith(b'\x89PNG\r\n\x1a\n') or not any(kind in data for kind in PNG_TEXT_CHUNKS):
        return data
    kept, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], 'big')
        if end > len(data):
            break
        if data[at + 4 : at + 8] not in PNG_TEXT_CHUNKS:
            kept.append(data[at:end])
        at = end
    return b''.join([*kept, data[at:]])


def open_header(file: BinaryIO) -> ImageFile.ImageFile:
    """The image that a file holds, its size and mode known, no pixel decoded yet.

    Pillow's plugins are called themselves: `Image.open` would warn of large images and refuse larger ones, by a limit
    of its own that belongs to the whole process.

    Raises:
        ImageError: the file begins like none of PILLOW_FORMATS, or Pillow cannot read its header. OpenCV might read
            it, but then its size is not known before it is decoded.
    """
    start = file.read(16)
    for name in PILLOW_FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        try:
            if factory and accept and accept(start) is True:
                file.seek(0)
                return factory(io.BytesIO(file.read(HEADER_BYTES)) if name in CAPPED_HEADERS else file, '')
        except PILLOW_ERRORS as error:
            raise ImageError(f'{UNREADABLE} ({name}: {" ".join(str(error).split())})') from error
    raise ImageError(f'{UNREADABLE} (it begins as none of {", ".join(PILLOW_FORMATS)})')


def check_header(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    """Raise ImageError if decoding would take too much memory or time, or invent pixels."""
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f'is {width}x{height}, {width * height} pixels; at most {max_pixels} are read (--max-pixels)')
    if image.info.get('progressive') and (scans := data.count(START_OF_SCAN)) > MAX_SCANS:
        raise ImageError(f'is a JPEG of {scans} scans; at most {MAX_SCANS} are read')
    if image.format == 'JPEG' and image.fp and data.find(END_OF_IMAGE, image.fp.tell()) < 0:
        raise ImageError(f'{UNREADABLE} (a JPEG without an end)')  # zeros after half of one would decode, as grey


def decode_with_opencv(data: bytes) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)  # type: ignore
    except cv2.error as error:
        raise ImageError(f'cannot be decoded: {error.err}') from error


def decode_with_pillow(image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    try:
        image.load()
        turned = image.transpose(TRANSPOSES[turn]) if (turn := orientation(image)) in TRANSPOSES else image
        if turned.mode.startswith('I;16'):  # converted to RGB it would be cut off at 255
            return np.repeat((np.asarray(turned) >> 8).astype(np.uint8)[..., None], 3, 2)
        rgb = np.asarray(turned if turned.mode == 'RGB' else turned.convert('RGB'))
    except PILLOW_ERRORS as error:
        raise ImageError(f'{UNREADABLE} ({" ".join(str(error).split())})') from error
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)


def orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 where EXIF is damaged, as OpenCV takes it. XMP's, which `getexif` knows too, is no matter."""
    try:
        exif = image.getexif() if image.format == 'TIFF' else Image.Exif()
        if image.format != 'TIFF':
            exif.load(image.info.get('exif', b''))
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except PILLOW_ERRORS:
        return 1
