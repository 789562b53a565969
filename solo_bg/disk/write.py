"""Write files whole or not at all, and remove the temporary files of processes that died."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import platform
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from solo_bg.disk.encode import Pixels, encode_image
from solo_bg.errors import ImageError, SetupError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
PROCESS_TOKEN = secrets.token_hex(3)
TEMPORARY = re.compile(r'\.([0-9a-f]{8})-(\d+)-([0-9a-f]{6})[0-9a-f]+\.tmp')  # host, process id, token, file number
file_numbers = itertools.count()


@contextlib.contextmanager
def open_atomically(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """A temporary file to write to, which replaces `path` when the block ends. Missing folders are made.

    The file is closed before it is renamed or removed, because Windows does neither to an open file.

    Args:
        durable: wait until the content is on the disk, so that a power cut leaves the whole file or what was there.
            Otherwise it may leave an empty file.

    Raises:
        ImageError: the file cannot be written. Nothing is left behind, and what was at `path` stays.
    """
    temporary = path.with_name(f'.{HOST}-{os.getpid()}-{PROCESS_TOKEN}{next(file_numbers):x}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open('xb')
        try:
            with file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # an interrupt too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ImageError(f'cannot write {path}: {error.strerror or error}') from error
    except RecursionError as error:  # mkdir calls itself for each folder that is missing
        raise ImageError('cannot be written: its path has too many folders') from error


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write a file whole or not at all. `durable` and errors as in `open_atomically`."""
    with open_atomically(path, durable) as file:
        file.write(data)


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files, given as path below `folder` -> bytes, or none: if one fails, the others are removed."""
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
    """Make a folder and try to write to it.

    Raises:
        SetupError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # has an unused name, so that no file of the user's is touched
            pass
    except OSError as error:
        raise SetupError(f'results cannot go to {folder}: {error}; choose another folder with --out') from error


def remove_temporaries(paths: Iterable[Path], alone: bool) -> None:
    """Delete the temporary files of processes that died while they wrote.

    Args:
        paths: the files to look at; others than temporary ones are kept.
        alone: no other process writes here, so that every temporary file is deleted. Otherwise, only those of this
            machine's dead processes are.
    """
    for path in paths:
        match = TEMPORARY.fullmatch(path.name)
        if match and (alone or (match[1] == HOST and not is_alive(int(match[2]), match[3]))):
            with contextlib.suppress(PermissionError):  # Windows does not remove a file that is still being written
                path.unlink(missing_ok=True)


def is_alive(pid: int, token: str) -> bool:
    """Whether a process with this id and token may still write.

    The token tells this process from an earlier one of the same id, as there are in containers.
    """
    if pid == os.getpid():
        return token == PROCESS_TOKEN
    if os.name == 'nt':  # os.kill would end the process; a file that it still writes cannot be deleted anyway
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        pass
    return True
