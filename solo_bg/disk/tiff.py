"""Read TIFFs where Pillow alone would read them wrong, and say why a TIFF is not supported."""

from __future__ import annotations

import contextlib
import ctypes
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, _imaging
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    COMPRESSION_INFO,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from solo_bg.errors import ImageError

UNSIGNED = {1, 4}  # SampleFormat: unsigned integers, and undefined, which older writers mean by it
SAMPLE_FORMATS = {2: 'signed', 3: 'floating-point', 5: 'complex', 6: 'complex'}
PHOTOMETRICS = {
    **{0: 'white-is-zero grey', 1: 'grey', 2: 'RGB', 3: 'palette', 4: 'mask', 5: 'CMYK', 6: 'YCbCr', 8: 'L*a*b*'},
    **{9: 'L*a*b*', 10: 'L*a*b*', 32803: 'camera raw', 34892: 'camera raw'},
}
WHITE_IS_ZERO = 0
GREY_MODES = ('1', 'L', 'I;16', 'I;16B')
UNCOMPRESSED, PACKBITS = 1, 32773
END_OF_JPEG = b'\xff\xd9'


def silence_libtiff() -> None:
    """Keep libtiff from printing what is wrong with a damaged file; Pillow reports that it failed.

    Pillow has no setting for it. Where its libtiff cannot be called from outside (it is linked statically, as on
    Windows), it goes on printing.
    """
    with contextlib.suppress(OSError, AttributeError):
        libtiff = ctypes.CDLL(_imaging.__file__)
        libtiff.TIFFSetErrorHandler(None)
        libtiff.TIFFSetWarningHandler(None)


silence_libtiff()


class TiffFile(TiffImageFile):
    """A TIFF whose pixels libtiff reads, uncompressed ones too.

    Pillow's own reader of uncompressed files takes 16-bit planes for 8-bit ones and YCbCr for RGB. Pillow calls libtiff
    for compressed files only, and libtiff looks at the file's own tag, so any other compression may stand here.
    """

    def _setup(self) -> None:
        compression = self.tag_v2.get(COMPRESSION, UNCOMPRESSED)
        if compression == UNCOMPRESSED:
            self.tag_v2[COMPRESSION] = PACKBITS
        super()._setup()
        self.tag_v2[COMPRESSION] = compression

    def load_prepare(self) -> None:
        """Make room for the pixels as they are stored. Pillow's own has a limit that belongs to the whole process."""
        self._size = self._tile_size
        ImageFile.ImageFile.load_prepare(self)

    def load_end(self) -> None:
        """Turn nothing: `decode.upright` does. Pillow's own also reads all further pages, and fails if one is odd."""


def check_tiff(image: TiffImageFile, data: bytes, max_pixels: int) -> None:
    """Check what libtiff and Pillow do not.

    Raises:
        ImageError: the samples have no certain meaning as colours, a tile is larger than an image may be, or a strip or
            tile is damaged.
    """
    tags, described = image.tag_v2, describe(image.tag_v2) or 'a TIFF'
    if not UNSIGNED.issuperset(tags.get(SAMPLEFORMAT, (1,))) or image.mode in ('I', 'F'):
        raise ImageError(f'is {described}, which is not supported; expected unsigned samples of up to 16 bits')
    if image.mode in GREY_MODES and tags.get(SAMPLESPERPIXEL, 1) > 1:  # bands, or RGB that does not say so
        raise ImageError(f'is {described}, which is not supported; expected RGB, or grey with alpha')
    width, height = tags.get(TILEWIDTH, 0), tags.get(TILELENGTH, 0)
    if width * height > max_pixels:
        raise ImageError(f'has tiles of {width}x{height} pixels; at most {max_pixels} are read (--max-pixels)')
    is_whole = WHOLE.get(tags.get(COMPRESSION, UNCOMPRESSED))
    if is_whole and not all(is_whole(segment, 8 * max_pixels) for segment in segments(tags, data)):
        raise ImageError(f'is {described}, a part of which is damaged or cut off')


def segments(tags: ImageFileDirectory_v2, data: bytes) -> Iterator[bytes]:
    """The bytes of each strip or tile, compressed."""
    for offset_tag, length_tag in ((STRIPOFFSETS, STRIPBYTECOUNTS), (TILEOFFSETS, TILEBYTECOUNTS)):
        for start, length in zip(tags.get(offset_tag, ()), tags.get(length_tag, ()), strict=False):
            yield data[start : start + length]


def is_whole_jpeg(segment: bytes, most: int) -> bool:
    """Whether a JPEG has an end. libtiff fills what is missing with grey."""
    return END_OF_JPEG in segment


def is_whole_deflate(segment: bytes, most: int) -> bool:
    """Whether a zlib stream, of which at most `most` bytes are looked at, has an end and fits its checksum.

    libtiff does not look at them.
    """
    inflater = zlib.decompressobj()
    try:
        while segment and most > 0 and not inflater.eof:
            most -= len(inflater.decompress(segment, 1 << 20))
            segment = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof or most <= 0


# by compression: whether the bytes of a strip or tile are whole
WHOLE = {7: is_whole_jpeg, 8: is_whole_deflate, 32946: is_whole_deflate}


def high_byte(grey: NDArray[np.uint16], tags: ImageFileDirectory_v2) -> NDArray[np.uint8]:
    """The high byte of each sample of a grey TIFF of 9 to 16 bits, uint8 (H, W), where 0 is black."""
    high = (grey >> (tags[BITSPERSAMPLE][0] - 8)).astype(np.uint8)
    return ~high if tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO else high


def read_tags(file: BinaryIO) -> ImageFileDirectory_v2:
    """The tags of a TIFF's first image. Errors are Pillow's."""
    file.seek(0)
    header = file.read(8)
    tags = ImageFileDirectory_v2(header if header[2] != 43 else header + file.read(8))  # 43: BigTIFF
    file.seek(tags.next)
    tags.load(file)
    return tags


def describe(tags: ImageFileDirectory_v2) -> str:
    """What samples a TIFF has: "a TIFF of 3 x 32-bit floating-point samples (RGB)"; '' if the tags do not say."""
    if PHOTOMETRIC_INTERPRETATION not in tags:
        return ''
    bits, formats = tags.get(BITSPERSAMPLE, (1,)), tags.get(SAMPLEFORMAT, (1,))
    photometric, compression = tags[PHOTOMETRIC_INTERPRETATION], tags.get(COMPRESSION, UNCOMPRESSED)
    bits, formats = (value if isinstance(value, tuple) else (value,) for value in (bits, formats))
    depth = '/'.join(dict.fromkeys(f'{one}' for one in bits))
    sort = ''.join(f'{SAMPLE_FORMATS[one]} ' for one in dict.fromkeys(formats) if one in SAMPLE_FORMATS)
    colours = PHOTOMETRICS.get(photometric, f'photometric {photometric}')
    known = compression in COMPRESSION_INFO
    return (
        f'a TIFF of {tags.get(SAMPLESPERPIXEL, 1)} x {depth}-bit {sort}samples ({colours}'
        f'{"" if known else f", compression {compression}"})'
    )
