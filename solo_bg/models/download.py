"""Download a file: resumable, checked, and under its own name only when it is whole."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from solo_bg.errors import SetupError

Report = Callable[[int, int | None], None]  # takes the bytes so far, and the bytes in all or None
HASH = re.compile(r'-([0-9a-f]{8,64})\.[a-z]+$')  # torch and mmdet put the beginning of the SHA-256 into file names
PIECE = 2**20


def download(url: str, target: Path, report: Report | None = None, timeout: float = 30.0) -> Path:
    """Download a file to `target`, which appears only when it is whole.

    Until then the bytes are in `target` + `.part`, and the next call continues from there. Of several processes one
    downloads and the others wait. The length is checked against the server's, and the SHA-256 against the beginning of
    it in the file name, if there is one.

    Args:
        report: called after every piece.
        timeout: give up after this many seconds without a byte.

    Raises:
        SetupError: no connection, no such file, too few bytes, or another hash. The message has the address, the
            target, and what to do.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target.with_name(target.name + '.lock')):
            return target if target.exists() else bring(url, target, report, timeout)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise SetupError in place of an OSError from writing `path`."""
    try:
        yield
    except OSError as error:
        raise SetupError(f'{path} cannot be written: {error.strerror or error}') from error


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time, except on a disk that has no locks. The lock file is removed afterwards."""
    held = FileLock(lock)
    with suppress(OSError, NotImplementedError):
        held.acquire()
    try:
        yield
    finally:
        if held.is_locked:
            with suppress(OSError):  # Windows removes no open file; filelock does it there
                lock.unlink(missing_ok=True)
            held.release()


def bring(url: str, target: Path, report: Report | None, timeout: float) -> Path:
    """Download to `target` + `.part`, check it, and rename it to `target`."""
    part = target.with_name(target.name + '.part')
    try:
        expected = fetch(url, part, report, timeout)
    except SetupError:
        raise
    except urllib.error.HTTPError as error:
        raise SetupError(f'{url} answers {error.code} {error.reason}; {mend(url, target)}') from error
    except (OSError, HTTPException, ValueError) as error:  # no network, no such host, a connection that breaks
        raise SetupError(f'{url} cannot be reached: {error}; {mend(url, target)}') from error
    there = part.stat().st_size
    if expected is not None and there < expected:
        raise SetupError(f'{url} ended after {there} of {expected} bytes; run the same command again to continue')
    if not right_hash(part, target.name) or (expected is not None and there > expected):
        part.unlink()
        raise SetupError(f'{url} sent {there} bytes whose SHA-256 does not match {target.name}; {mend(url, target)}')
    part.replace(target)
    return target


def fetch(url: str, part: Path, report: Report | None, timeout: float) -> int | None:
    """Append what is missing to `part`. Returns the length of the whole file; None if the server does not say it."""
    there = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={there}-'} if there else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing
            return there
        raise
    with answer:
        goes_on = answer.status == 206
        there = there if goes_on else 0
        length = answer.headers.get('Content-Length')
        expected = None if length is None else there + int(length)
        with writing(part):
            file = part.open('ab' if goes_on else 'wb')
        with file:
            while piece := answer.read1(PIECE):
                with writing(part):
                    file.write(piece)
                    file.flush()
                there += len(piece)
                if report:
                    report(there, expected)
    return expected


def right_hash(path: Path, name: str) -> bool:
    """Whether the file's SHA-256 begins as the name says, or the name says nothing."""
    wanted = HASH.search(name)
    if not wanted:
        return True
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest().startswith(wanted[1])


def mend(url: str, target: Path) -> str:
    """What a user can do."""
    return f'download it on a machine with a network, and bring it to {target}: curl -L -o {target} {url}'
