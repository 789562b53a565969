"""Read files: images, JSON documents and checksums. Needs neither torch nor mmdet."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from solo_bg.disk.decode import decode_image
from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.disk.header import HEADER_BYTES, open_header, without_texts
from solo_bg.errors import ImageError, SetupError

METADATA_BYTES = 64 << 20  # profiles, thumbnails and further pictures that a file may hold besides its pixels


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 (H, W, 3), BGR, as `decode_image` gives them.

    The bytes are decoded from memory: of a truncated JPEG `cv2.imread` makes a grey-filled picture where
    `cv2.imdecode` fails.

    Raises:
        ImageError: there is no such file, it is no image that can be read whole, or it has more than `max_pixels`; it
            begins with the path.
    """
    try:
        return decode_image(read_bytes(path, max_pixels), max_pixels)
    except ImageError as error:
        raise ImageError(f'{path} {error}') from error


def read_bytes(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """All bytes of a file that may be an image of `max_pixels`.

    Raises:
        ImageError: it cannot be opened or read (see `open_file`), or changes meanwhile.
    """
    with open_file(path, max_pixels) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            data = file.read(size + 1)
        except OSError as error:
            raise ImageError(f'cannot be read: {error.strerror or error}') from error
    if len(data) != size:
        raise ImageError(f'changed while it was read: {size} bytes, then {len(data) if len(data) < size else "more"}')
    return data


def open_file(path: Path, max_pixels: int) -> BinaryIO:
    """Open a regular file, and never wait: a FIFO that nobody writes to would block for ever.

    Raises:
        ImageError: it cannot be opened, is not regular, or is larger than `max_pixels` of 8 bytes (16 bits, alpha) and
            64 MB of what an image carries beside them.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    except OSError as error:
        raise ImageError(f'cannot be read: {error.strerror or error}') from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(f'cannot be read: {error}') from error
    status = os.fstat(descriptor)
    most = 8 * max_pixels + METADATA_BYTES
    if stat.S_ISREG(status.st_mode) and status.st_size <= most:
        return open(descriptor, 'rb')
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):  # inputs.walk lists those that it could not search
        raise ImageError('is a folder, perhaps one that cannot be searched; expected an image file')
    if not stat.S_ISREG(status.st_mode):
        raise ImageError('is a pipe or a device; expected an image file')
    raise ImageError(f'has {status.st_size} bytes; at most {most} are read (8 for each of --max-pixels, and 64 MB)')


def image_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int] | None:
    """Width and height from the file's header, as stored; None if it cannot be read."""
    try:
        with open_file(path, max_pixels) as file:
            return open_header(io.BytesIO(without_texts(file.read(HEADER_BYTES)))).size
    except ImageError:
        return None


def mean_colour(paths: Iterable[Path], max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """The mean colour of all pixels of the images, rounded, blue first; images that cannot be read do not count."""
    total, count = np.zeros(3, np.int64), 0
    for path in paths:
        try:
            pixels = read_image(path, max_pixels)
        except ImageError:  # reported when its turn comes
            continue
        total += pixels.sum((0, 1), dtype=np.int64)
        count += pixels.shape[0] * pixels.shape[1]
    if not count:
        raise SetupError('no image can be read to take the mean colour of')
    blue, green, red = map(int, np.rint(total / count))
    return blue, green, red


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        SetupError: there is no such file, or it is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SetupError(f'cannot be read: {error.strerror or error}') from error
    except ValueError as error:  # no JSON, or no text
        raise SetupError(f'is no JSON: {error}') from error


def digest(path: Path, algorithm: str = 'sha256') -> str:
    """The checksum of a file, in hexadecimal: SHA-256, or what hashlib calls `algorithm`."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open('rb') as file:
        while block := file.read(2**20):
            hasher.update(block)
    return hasher.hexdigest()
