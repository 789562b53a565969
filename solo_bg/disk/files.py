"""Images on disk: read, encode, write. Needs neither torch nor mmdet."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import platform
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from solo_bg.disk.inputs import MAX_PIXELS
from solo_bg.disk.pixels import HEADER_BYTES, decode_image, open_header, without_texts
from solo_bg.errors import ImageError, SetupError

Pixels = NDArray[Any]
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
TOKEN = secrets.token_hex(3)  # of this process
TEMPORARY = re.compile(r'\.([0-9a-f]{8})-(\d+)-([0-9a-f]{6})[0-9a-f]+\.tmp')
numbers = itertools.count()  # of the files written by this process
BESIDE = 64 << 20  # bytes of profiles, thumbnails and further pictures that a file may hold beside its pixels


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
    most = 8 * max_pixels + BESIDE
    if stat.S_ISREG(status.st_mode) and status.st_size <= most:
        return open(descriptor, 'rb')
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):  # inputs.walk lists those that it could not search
        raise ImageError('is a folder, perhaps one that cannot be searched; expected an image file')
    if not stat.S_ISREG(status.st_mode):
        raise ImageError('is a pipe or a device; expected an image file')
    raise ImageError(f'has {status.st_size} bytes; at most {most} are read (8 for each of --max-pixels, and 64 MB)')


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    hasher = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(2**20):
            hasher.update(block)
    return hasher.hexdigest()


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


def image_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int] | None:
    """Width and height from the file's header, as stored; None if it cannot be read."""
    try:
        with open_file(path, max_pixels) as file:
            return open_header(io.BytesIO(without_texts(file.read(HEADER_BYTES)))).size
    except ImageError:
        return None


def encode_image(picture: Pixels, suffix: str, quality: int = 95) -> bytes:
    """A picture as the bytes of a file.

    Args:
        picture: uint8 (H, W, 3) BGR, (H, W, 4) BGRA or (H, W); or uint16 (H, W).
        suffix: `.png`, `.jpg`, `.webp` (lossless, colours kept under alpha 0) or any other that OpenCV writes.
        quality: of a JPEG, 1 to 100.

    Raises:
        ImageError: the format cannot hold the picture.
    """
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
    """By Pillow: OpenCV's lossless WebP changes the colours under alpha 0."""
    order = [2, 1, 0, 3][: picture.shape[2]]
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(picture[..., order])).save(
            buffer, 'WEBP', lossless=True, exact=True, method=2
        )
    except (ValueError, OSError) as error:
        raise ImageError(f'cannot be encoded as WebP: {error}; its sides are at most 16383 pixels') from error
    return buffer.getvalue()


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name, and the place of what has it, when all is written. Its folders are made.

    Raises:
        ImageError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f'.{HOST}-{os.getpid()}-{TOKEN}{next(numbers):x}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open('xb')
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # an interrupt too: nothing half-written stays
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ImageError(f'cannot write {path}: {error.strerror or error}') from error
    except RecursionError as error:  # mkdir calls itself for each folder that is missing
        raise ImageError('cannot be written: its path has too many folders') from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Errors as in `open_atomically`."""
    with open_atomically(path) as file:
        file.write(data)


def remove_temporaries(paths: Iterable[Path], alone: bool) -> None:
    """Delete what processes were writing when they died: `alone`, all of it; else that of this machine's dead ones."""
    for path in paths:
        match = TEMPORARY.fullmatch(path.name)
        if match and (alone or (match[1] == HOST and not is_alive(int(match[2]), match[3]))):
            path.unlink(missing_ok=True)


def is_alive(pid: int, token: str) -> bool:
    """Whether a process with this token may still write. In a container a new process may have the id of an old one."""
    if pid == os.getpid():
        return token == TOKEN
    if os.name == 'nt':  # where os.kill is no question, and a file that is being written cannot be deleted
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files, path below `folder` -> bytes, or none: if one fails, those before it are taken back."""
    written: list[Path] = []
    try:
        for below, data in files.items():
            write_bytes(folder / below, data)
            written.append(folder / below)
    except ImageError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def write_image(path: Path, picture: Pixels, quality: int = 95) -> None:
    """Encode by the path's suffix and write. Errors as in `encode_image` and `write_bytes`."""
    write_bytes(path, encode_image(picture, path.suffix.lower(), quality))


def make_folder(folder: Path) -> None:
    """Make a folder that files can be written to.

    Raises:
        SetupError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # a name of its own: nothing of the user's is touched
            pass
    except OSError as error:
        raise SetupError(f'results cannot go to {folder}: {error}; choose another folder with --out') from error
