"""Images on disk: read, encode, write. Needs neither torch nor mmdet."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from solo_bg.errors import ImageError, SetupError

Pixels = NDArray[Any]
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
TEMPORARY = re.compile(r'\.([0-9a-f]{8})-(\d+)-[0-9a-f]+\.tmp')
numbers = itertools.count()  # of the files written by this process
# what Pillow raises at a file that it cannot open or decode
PILLOW_ERRORS = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_image(path: Path) -> NDArray[np.uint8]:
    """The pixels of an image file. Returns and raises as `decode_image` and `read_bytes`."""
    return decode_image(read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """All of a file.

    Raises:
        ImageError: there is no such file, it cannot be read, or it is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f'cannot be read: {error.strerror or error}') from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(f'cannot be read: {error}') from error
    if not data:
        raise ImageError('is empty (0 bytes)')
    return data


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    hasher = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(2**20):
            hasher.update(block)
    return hasher.hexdigest()


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """The pixels of an image file's bytes, uint8 (H, W, 3), BGR.

    EXIF orientation is applied, alpha dropped, grey repeated, 16 bits cut to their high byte. Bytes are decoded
    from memory: of a truncated JPEG `cv2.imread` makes a grey-filled picture where `cv2.imdecode` fails.

    Raises:
        ImageError: it is no image that can be decoded whole.
    """
    pixels = decode_with_pillow(data) if wants_pillow(data) else decode_with_opencv(data)
    if pixels is None:
        raise ImageError(f'is no image that can be decoded, or is truncated ({len(data)} bytes)')
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f'has {pixels.dtype} pixels; expected 8 or 16 bits a channel')
    return pixels


def mean_colour(paths: Iterable[Path]) -> tuple[int, int, int]:
    """The mean colour of all pixels of the images, rounded, blue first; images that cannot be read do not count."""
    total, count = np.zeros(3, np.int64), 0
    for path in paths:
        try:
            pixels = read_image(path)
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


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height from the file's header, as stored; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except PILLOW_ERRORS:
        return None


def decode_with_opencv(data: bytes) -> Pixels | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ImageError(f'cannot be decoded: {error.err}') from error


def wants_pillow(data: bytes) -> bool:
    """WebP, whose orientation OpenCV ignores, and TIFF with alpha, which OpenCV multiplies into the colours."""
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return True
    if data[:4] not in (b'II*\0', b'MM\0*'):
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.mode in ('RGBA', 'LA')
    except PILLOW_ERRORS:  # not for Pillow: OpenCV tries
        return False


def decode_with_pillow(data: bytes) -> Pixels:
    try:
        with Image.open(io.BytesIO(data)) as image:
            rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except PILLOW_ERRORS as error:
        raise ImageError(f'cannot be decoded: {error}') from error
    return np.ascontiguousarray(rgb[..., ::-1])


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
    temporary = path.with_name(f'.{HOST}-{os.getpid()}-{next(numbers):x}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open('xb') as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # an interrupt too: nothing half-written stays
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ImageError(f'cannot write {path}: {error.strerror or error}') from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Errors as in `open_atomically`."""
    with open_atomically(path) as file:
        file.write(data)


def remove_temporaries(paths: Iterable[Path]) -> None:
    """Delete those that a process of this machine was writing when it died."""
    for path in paths:
        match = TEMPORARY.fullmatch(path.name)
        if match and match[1] == HOST and not is_alive(int(match[2])):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
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
