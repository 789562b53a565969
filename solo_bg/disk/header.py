"""Open an image: find its format, size and mode, and refuse what would take too much memory. Decodes no pixel."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO

from PIL import Image, ImageFile

from solo_bg.disk.kinds import describe_kind, is_heic
from solo_bg.disk.tiff import TiffFile, check_tiff, describe, read_tags
from solo_bg.errors import ImageError

# Pillow's other plugins never see a file
PILLOW_FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'AVIF', 'JPEG2000', 'PPM', 'SUN')
# Pillow skips junk in these formats' headers byte by byte, so the header must be in the first HEADER_BYTES
CAPPED_HEADERS = ('JPEG', 'GIF', 'PPM')
HEADER_BYTES = 16 << 20
START_OF_SCAN = b'\xff\xda'
MAX_SCANS = 500  # a progressive JPEG has about 10; each further scan of 137 bytes costs a decoding of the whole image
END_OF_IMAGE = b'\xff\xd9'
FORMATS_WITH_END = ('JPEG', 'MPO', 'JPEG2000')  # in which END_OF_IMAGE is
PNG_TEXT_CHUNKS = (b'iCCP', b'tEXt', b'zTXt', b'iTXt')
PNG_XMP = b'XML:com.adobe.xmp\0\0'  # uncompressed, as the XMP specification asks for
UNREADABLE = 'is not an image that can be decoded, or is truncated'
# what Pillow raises at bytes that it cannot open or decode
PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, AssertionError),
    *(RuntimeError, struct.error, zlib.error, Image.DecompressionBombError),
)
Image.init()  # all plugins; PILLOW_FORMATS are looked up among them
logging.getLogger('PIL').addHandler(logging.NullHandler())  # else its errors are printed where no logging is set up


class HeaderFile(io.BytesIO):
    """The bytes of a file, of which no more than `limit` can be read until `limit` is set to None."""

    limit: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None:
            left = max(self.limit - self.tell(), 0)
            size = left if size is None or size < 0 else min(size, left)
        return super().read(size)


def open_image(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """The image in a file's bytes, ready to be loaded.

    Raises:
        ImageError: see `open_header`; or decoding would take too much memory or time, or invent pixels.
    """
    file = HeaderFile(without_texts(data))
    image = open_header(file)
    check_header(image, data, max_pixels)
    file.limit = None
    return image


def without_texts(data: bytes) -> bytes:
    """A PNG without its colour profile and its texts, but with XMP, which may hold an orientation; other data as given.

    Pillow refuses a PNG if one of these chunks is damaged or larger than 1 MB.
    """
    if not data.startswith(b'\x89PNG\r\n\x1a\n') or not any(kind in data for kind in PNG_TEXT_CHUNKS):
        return data
    kept, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], 'big')
        if end > len(data):
            break
        if data[at + 4 : at + 8] not in PNG_TEXT_CHUNKS or data.startswith(b'iTXt' + PNG_XMP, at + 4):
            kept.append(data[at:end])
        at = end
    return b''.join([*kept, data[at:]])


def open_header(file: BinaryIO) -> ImageFile.ImageFile:
    """The image that a file holds, its size and mode known.

    Pillow's plugins are called directly: `Image.open` would warn of large images and refuse larger ones, by a limit
    that belongs to the whole process.

    Raises:
        ImageError: the file is in none of PILLOW_FORMATS, or its header cannot be read or is of a kind that is not
            supported.
    """
    start = file.read(512)
    name, plugin = find_plugin(start)
    file.seek(0)
    if name in CAPPED_HEADERS and isinstance(file, HeaderFile):
        file.limit = HEADER_BYTES
    try:
        return plugin(file, '')
    except PILLOW_ERRORS as error:
        unsupported = 'support' in str(error).lower()
        fault = f'is a {name} of a kind that is not supported' if unsupported else UNREADABLE
        reason = f'{fault} ({name}: {in_a_line(error)})'
    try:
        if name == 'TIFF' and (described := describe(read_tags(file))):
            reason = f'is {described}, which is not supported, or is damaged'
    except PILLOW_ERRORS:
        pass
    raise ImageError(reason)


def find_plugin(start: bytes) -> tuple[str, Callable[[BinaryIO, str], ImageFile.ImageFile]]:
    """The format of a file that begins with these bytes, and what opens it."""
    for name in PILLOW_FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory and accept and accept(start[:16]) is True:
            return name, TiffFile if name == 'TIFF' else factory
    if is_heic(start):
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            pass
        else:
            return 'HEIF', HeifImageFile
    if kind := describe_kind(start):
        raise ImageError(f'is {kind}')
    raise ImageError(f'{UNREADABLE} (it does not begin like any of {", ".join(PILLOW_FORMATS)})')


def check_header(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    """Raise ImageError if decoding would take too much memory or time, or invent pixels."""
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f'is {width}x{height}, {width * height} pixels; at most {max_pixels} are read (--max-pixels)')
    if isinstance(image, TiffFile):
        try:
            check_tiff(image, data, max_pixels)
        except ImageError:
            raise
        except PILLOW_ERRORS as error:  # tags of another type than expected
            raise ImageError(f'{UNREADABLE} (TIFF: {in_a_line(error)})') from error
    if image.info.get('progressive') and (scans := data.count(START_OF_SCAN)) > MAX_SCANS:
        raise ImageError(f'is a JPEG of {scans} scans; at most {MAX_SCANS} are read')
    if image.format in FORMATS_WITH_END and image.fp and data.find(END_OF_IMAGE, image.fp.tell()) < 0:
        raise ImageError(f'{UNREADABLE} (a {image.format} without an end)')  # what is missing would be grey or black


def in_a_line(error: Exception) -> str:
    return ' '.join(str(error).split())
