"""Locks that keep two processes out of the same work. A lock is a file, so that it works between machines too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from solo_bg.errors import SetupError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class LockedError(SetupError):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, shared: bool = False) -> Iterator[bool]:
    """Hold a lock on a file, which is made for it and removed in the end.

    The file is opened for writing: file systems such as NFS lock no file that was opened for reading only.

    Args:
        path: the lock file.
        shared: several processes may hold the lock at once, if all of them share it.

    Yields:
        whether the file could be locked. Some file systems have no locks.

    Raises:
        LockedError: another process holds the lock.
        SetupError: the file cannot be opened for writing.
    """
    descriptor, locked = acquire(path, shared)
    try:
        yield locked
    finally:
        if locked and is_last(descriptor):
            path.unlink(missing_ok=True)  # while the lock is held, so that nobody else's file is removed
        os.close(descriptor)
        if not locked:
            with suppress(OSError):  # Windows removes no file that another process has opened
                path.unlink()


def acquire(path: Path, shared: bool) -> tuple[int, bool]:
    """Open and lock the file; the descriptor, and whether it is locked. Errors as in `lock`."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SetupError(f'{path} cannot be written: {error.strerror or error}; choose another --out') from error
        if fcntl is None:
            return descriptor, False
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LockedError(f'another process holds {path}') from error
        except OSError:  # this file system has no locks
            return descriptor, False
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, True
        os.close(descriptor)  # the last holder removed the file after we had opened it


def is_last(descriptor: int) -> bool:
    """Whether no other process shares the lock; nobody can then take it before the descriptor is closed."""
    assert fcntl
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
