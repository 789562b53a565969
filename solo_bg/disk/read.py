"""Read files: images, JSON documents and checksums. Needs neither torch nor mmdet."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from solo_bg.disk.decode import decode_image, decode_with_alpha
from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.disk.header import HEADER_BYTES, open_header, without_texts
from solo_bg.errors import ImageError, SetupError

METADATA_BYTES = 64 << 20  # for profiles, thumbnails and further pictures in a file, besides its pixels


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 (H, W, 3), BGR, as `decode_image` gives them.

    Raises:
        ImageError: the file does not exist, is not an image that can be read whole, or has more than `max_pixels`. The
            message begins with the path.
    """
    try:
        return decode_image(read_bytes(path, max_pixels), max_pixels)
    except ImageError as error:
        raise ImageError(f'{path} {error}') from error


def read_with_alpha(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file with their opacity, uint8 (H, W, 4), BGRA. Errors as in `read_image`."""
    try:
        return decode_with_alpha(read_bytes(path, max_pixels), max_pixels)
    except ImageError as error:
        raise ImageError(f'{path} {error}') from error


def read_bytes(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """All bytes of a file that may be an image of `max_pixels`.

    Raises:
        ImageError: the file cannot be opened (see `open_file`) or read, or it changes while it is read.
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
    """Open a regular file without waiting: a pipe that nobody writes to would block for ever.

    Raises:
        ImageError: the file cannot be opened, is not a regular file, or has more than 8 bytes for each of `max_pixels`
            (16 bits and alpha) and METADATA_BYTES.
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
    if stat.S_ISDIR(status.st_mode):  # inputs.walk lists the folders that it cannot search
        raise ImageError('is a folder, perhaps one that cannot be searched; expected an image file')
    if not stat.S_ISREG(status.st_mode):
        raise ImageError('is a pipe or a device; expected an image file')
    raise ImageError(f'has {status.st_size} bytes; at most {most} are read (8 for each of --max-pixels, and 64 MB)')


def image_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int] | None:
    """Width and height from the file's header, before the image is turned upright; None if they cannot be read."""
    try:
        with open_file(path, max_pixels) as file:
            start = file.read(HEADER_BYTES)
            file.seek(0)
            tags_may_be_last = start.startswith((b'II', b'MM')) and len(start) == HEADER_BYTES  # a TIFF's
            return open_header(file if tags_may_be_last else io.BytesIO(without_texts(start))).size
    except ImageError:
        return None


def mean_colour(paths: Iterable[Path], max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """The mean colour of all pixels of the images, (blue, green, red), rounded. Images that cannot be read are skipped.

    Raises:
        SetupError: no image can be read.
    """
    total, count = np.zeros(3, np.int64), 0
    for path in paths:
        try:
            pixels = read_image(path, max_pixels)
        except ImageError:  # the run reports it
            continue
        total += pixels.sum((0, 1), dtype=np.int64)
        count += pixels.shape[0] * pixels.shape[1]
    if not count:
        raise SetupError('no image can be read to take the mean colour of')
    blue, green, red = map(int, np.rint(total / count))
    return blue, green, red


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        SetupError: the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SetupError(f'cannot be read: {error.strerror or error}') from error
    except ValueError as error:  # not JSON, or not text
        raise SetupError(f'is not JSON: {error}') from error


def digest(path: Path, algorithm: str = 'sha256') -> str:
    """The checksum of a file, in hexadecimal: SHA-256, or what hashlib calls `algorithm`."""
    with path.open('rb') as file:
        return digest_of(file, algorithm)


def input_digest(path: Path) -> str:
    """The SHA-256 of an input of any length, in hexadecimal. Errors as in `open_file`."""
    with open_file(path, sys.maxsize) as file:
        return digest_of(file)


def digest_of(file: BinaryIO, algorithm: str = 'sha256') -> str:
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    while block := file.read(2**20):
        hasher.update(block)
    return hasher.hexdigest()
