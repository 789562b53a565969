"""List the images that the INPUTs name. Looks at folders; opens only `@list.txt`."""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from solo_bg.disk.formats import SUFFIXES
from solo_bg.errors import SetupError


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
