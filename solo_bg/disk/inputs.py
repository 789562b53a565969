"""Which images there are, and what their results are called. Looks at folders; opens only `@list.txt`."""

from __future__ import annotations

import codecs
import hashlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from solo_bg.errors import SetupError

FORMATS = ('png', 'jpg', 'webp')  # that results are written in
MAX_PIXELS = 100_000_000  # of an image that is read
SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'))


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


def list_images(inputs: Iterable[str], skip: Collection[str] = ()) -> list[ImageFile]:
    """Every image that the inputs name, each once, ordered by `shown`.

    Args:
        inputs: files (tried whatever their suffix, and listed even if they do not exist: reading them reports it),
            folders (recursively; SUFFIXES in any case), and `@list.txt`, a file with one of these a line.
        skip: absolute paths of folders that are not entered: those that results of earlier runs are in.

    Raises:
        SetupError: a list cannot be read, or an input is an empty word.
    """
    found: dict[str, ImageFile] = {}
    for given in expand_lists(inputs):
        if not given:
            raise SetupError('an INPUT is empty; expected a file, a folder or @list.txt')
        given_path = Path(given)
        is_folder = os.path.isdir(given)
        root = given_path if is_folder else given_path.parent
        for path in walk(root, skip) if is_folder else [given_path]:
            below = PurePosixPath(path.relative_to(root) if path != root else path.name)
            found.setdefault(
                os.path.abspath(path), ImageFile(path, (PurePosixPath(root) / below).as_posix(), below, root)
            )
    return sorted(found.values(), key=lambda image: image.shown)


def expand_lists(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs with each `@list.txt` replaced by its lines; empty lines are passed over.

    A line is a path as the file system has it, in any encoding; blanks around it go unless there is such a file.
    """
    for given in inputs:
        if not given.startswith('@'):
            yield given
            continue
        try:
            content = Path(given[1:]).read_bytes()
        except (OSError, ValueError) as error:
            raise SetupError(
                f'cannot read the list {given[1:]}: {error}; expected a text file, one path a line'
            ) from error
        if b'\0' in content:
            raise SetupError(f'the list {given[1:]} holds a zero byte; expected text (not UTF-16), one path a line')
        lines = [os.fsdecode(line) for line in content.removeprefix(codecs.BOM_UTF8).split(b'\n')]
        yield from (line if os.path.lexists(line) else line.strip() for line in lines if line.strip())


def walk(folder: Path, skip: Collection[str]) -> Iterator[Path]:
    """Image files below a folder, and the sub-folders that cannot be entered: reading those reports it.

    Links to folders are followed, each folder once: the one of several paths that comes first in order of names.
    """
    seen, waiting = set(), [folder]
    skipped = {identity(path) for path in skip if os.path.isdir(path)}
    while waiting:
        where = waiting.pop()
        try:
            here = identity(where)
            if here in seen or (here in skipped and where != folder):
                continue
            seen.add(here)
            with os.scandir(where) as entries:
                found = sorted((entry.name, is_folder(entry)) for entry in entries)
        except OSError:
            yield where
            continue
        waiting.extend(where / name for name, has_more in reversed(found) if has_more)
        files = (name for name, has_more in found if not has_more)
        yield from (where / name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES)


def identity(folder: str | Path) -> tuple[int, int]:
    """The same for every path to the same folder."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Or a link to one. `entry.is_dir()` alone raises OSError at a link to itself."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def output_names(images: Sequence[ImageFile]) -> list[str]:
    """A different name for each image, relative to a style's folder and without a suffix.

    A function of the whole list but not of its order. The name is the path below INPUT without its suffix; INPUTs that
    share a relative path put their last folder's name before it; stems that then collide (compared by `fold`) keep
    their suffix; what still collides gets `~` and 8 hex digits of the SHA-256 of its path.
    """
    roots_of = defaultdict(set)
    for image in images:
        roots_of[fold(image.below.as_posix())].add(os.path.abspath(image.root))
    told_apart = {root for roots in roots_of.values() if len(roots) > 1 for root in roots}

    full = [
        PurePosixPath(os.path.basename(root)) / image.below if root in told_apart else image.below
        for image, root in ((image, os.path.abspath(image.root)) for image in images)
    ]
    names = [path.with_suffix('').as_posix() for path in full]
    names = [path.as_posix() if clash else name for path, name, clash in zip(full, names, clashes(names), strict=True)]
    digits = 8
    while any(clashes(names)):
        hashes = [hashlib.sha256(image.shown.encode(errors='surrogateescape')).hexdigest() for image in images]
        again = zip(names, hashes, clashes(names), strict=True)
        names = [f'{name}~{digest[:digits]}' if clash else name for name, digest, clash in again]
        digits *= 2
    return names


def clashes(names: Sequence[str]) -> list[bool]:
    """Which names occur more than once, compared by `fold`, or would be a file where another needs a folder."""
    folded = [fold(name) for name in names]
    count = Counter(folded)
    folders = {parent.as_posix() for name in folded for parent in PurePosixPath(name).parents}
    return [count[name] > 1 or any(f'{name}.{suffix}' in folders for suffix in FORMATS) for name in folded]


def fold(name: str) -> str:
    """What file systems that ignore case, or the difference between é and e with an accent, take for one name."""
    return unicodedata.normalize('NFC', name.casefold())
