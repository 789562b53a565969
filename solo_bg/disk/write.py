"""Write files whole or not at all, and clean up after processes that died while they wrote."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from solo_bg.disk.encode import Pixels, encode_image
from solo_bg.errors import ImageError, SetupError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
PROCESS_TOKEN = secrets.token_hex(3)
TEMPORARY = re.compile(r'\.([0-9a-f]{8})-(\d+)-([0-9a-f]{6})[0-9a-f]+\.tmp')  # host, process id, token, file number
file_numbers = itertools.count()


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name, and the place of what has it, when all is written. Its folders are made.

    Raises:
        ImageError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f'.{HOST}-{os.getpid()}-{PROCESS_TOKEN}{next(file_numbers):x}.tmp')
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


def remove_temporaries(paths: Iterable[Path], alone: bool) -> None:
    """Delete what processes were writing when they died: `alone`, all of it; else that of this machine's dead ones."""
    for path in paths:
        match = TEMPORARY.fullmatch(path.name)
        if match and (alone or (match[1] == HOST and not is_alive(int(match[2]), match[3]))):
            path.unlink(missing_ok=True)


def is_alive(pid: int, token: str) -> bool:
    """Whether a process with this token may still write. In a container a new process may have the id of an old one."""
    if pid == os.getpid():
        return token == PROCESS_TOKEN
    if os.name == 'nt':  # where os.kill is no question, and a file that is being written cannot be deleted
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
