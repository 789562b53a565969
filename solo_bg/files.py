"""Images on disk: list, name, read, encode, write. Needs neither torch nor mmdet."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from solo_bg.errors import ImageError, SetupError

SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'))
Pixels = NDArray[Any]


@dataclass(frozen=True)
class ImageFile:
    """One input.

    Attributes:
        path: where it is.
        shown: INPUT joined with the path below it, `/` between the parts: how the manifest calls it.
        below: its path below INPUT; a file's own name if INPUT is the file.
        root: the folder that `below` starts from.
    """

    path: Path
    shown: str
    below: PurePosixPath
    root: Path


# ---- list


def list_images(inputs: Iterable[str]) -> list[ImageFile]:
    """Every image that the inputs name, each once, ordered by `shown`.

    Args:
        inputs: files (tried whatever their suffix, and listed even if they do not exist: reading them reports it),
            folders (recursively; SUFFIXES in any case), and `@list.txt`, a file with one of these a line.

    Raises:
        SetupError: a list cannot be read.
    """
    found: dict[str, ImageFile] = {}
    for given in expand_lists(inputs):
        root = Path(given)
        for path in walk(root) if root.is_dir() else [root]:
            below = PurePosixPath(path.relative_to(root) if root.is_dir() else path.name)
            shown = (PurePosixPath(root) / below if root.is_dir() else PurePosixPath(root)).as_posix()
            found.setdefault(
                os.path.abspath(path), ImageFile(path, shown, below, root if root.is_dir() else root.parent)
            )
    return sorted(found.values(), key=lambda image: image.shown)


def expand_lists(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs with each `@list.txt` replaced by its lines; empty lines are passed over."""
    for given in inputs:
        if not given.startswith('@'):
            yield given
            continue
        try:
            lines = Path(given[1:]).read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(
                f'cannot read the list {given[1:]}: {error}; expected a text file, one path a line'
            ) from error
        yield from (line.strip() for line in lines if line.strip())


def walk(folder: Path) -> Iterator[Path]:
    """Image files below a folder. Links to folders are followed, each folder once."""
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(where)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        yield from (Path(where, name) for name in sorted(names) if os.path.splitext(name)[1].lower() in SUFFIXES)


# ---- name


def output_names(images: Sequence[ImageFile]) -> list[str]:
    """A different name for each image, relative to a style's folder and without a suffix.

    A function of the whole list but not of its order. The name is the path below INPUT without its suffix; INPUTs that
    share a relative path put their last folder's name before it; stems that then collide (compared without case) keep
    their suffix; what still collides gets `~` and 8 hex digits of the SHA-256 of its path.
    """
    roots_of = defaultdict(set)
    for image in images:
        roots_of[image.below.as_posix().casefold()].add(os.path.abspath(image.root))
    told_apart = {root for roots in roots_of.values() if len(roots) > 1 for root in roots}

    full = [
        PurePosixPath(os.path.basename(root)) / image.below if root in told_apart else image.below
        for image, root in ((image, os.path.abspath(image.root)) for image in images)
    ]
    names = [path.with_suffix('').as_posix() for path in full]
    names = [path.as_posix() if again else name for path, name, again in zip(full, names, repeated(names), strict=True)]
    digits = 8
    while any(repeated(names)):
        hashes = [hashlib.sha256(image.shown.encode(errors='surrogateescape')).hexdigest() for image in images]
        clashing = zip(names, hashes, repeated(names), strict=True)
        names = [f'{name}~{digest[:digits]}' if again else name for name, digest, again in clashing]
        digits *= 2
    return names


def repeated(names: Sequence[str]) -> list[bool]:
    """Which names occur more than once, compared without case."""
    count = Counter(name.casefold() for name in names)
    return [count[name.casefold()] > 1 for name in names]


# ---- read


def read_image(path: Path) -> NDArray[np.uint8]:
    """The pixels of an image file, uint8 (H, W, 3), BGR.

    EXIF orientation is applied, alpha dropped, grey repeated, 16 bits cut to their high byte. The bytes are decoded
    from memory: of a truncated JPEG `cv2.imread` makes a grey-filled picture where `cv2.imdecode` fails.

    Raises:
        ImageError: there is no such file, or it is no image that can be read whole.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f'cannot be read: {error.strerror or error}') from error
    if not data:
        raise ImageError('is empty (0 bytes)')
    pixels = decode_with_pillow(data) if wants_pillow(data) else decode_with_opencv(data)
    if pixels is None:
        raise ImageError(f'is no image that can be decoded, or is truncated ({len(data)} bytes)')
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f'has {pixels.dtype} pixels; expected 8 or 16 bits a channel')
    return pixels


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height from the file's header, as stored; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
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
    except (UnidentifiedImageError, OSError, SyntaxError):  # not for Pillow: OpenCV tries
        return False


def decode_with_pillow(data: bytes) -> Pixels:
    try:
        with Image.open(io.BytesIO(data)) as image:
            rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f'cannot be decoded: {error}') from error
    return np.ascontiguousarray(rgb[..., ::-1])


# ---- encode and write


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


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: under a temporary name, then renamed. Its folders are made.

    Raises:
        ImageError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f'.{os.getpid()}-{threading.get_ident():x}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except BaseException:  # an interrupt too: nothing half-written stays
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ImageError(f'cannot write {path}: {error.strerror or error}') from error


def write_image(path: Path, picture: Pixels, quality: int = 95) -> None:
    """Encode by the path's suffix and write. Errors as in `encode_image` and `write_bytes`."""
    write_bytes(path, encode_image(picture, path.suffix.lower(), quality))
