"""Weights from the network: resumable, checked, never half there under their own name."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from solo_bg.errors import SetupError

Report = Callable[[int, int | None], None]  # bytes that are there, bytes in all if that is known
HASH = re.compile(r'-([0-9a-f]{8,64})\.[a-z]+$')  # of torch's and mmdet's file names: the SHA-256's beginning
PIECE = 2**20


def download(url: str, target: Path, report: Report | None = None, timeout: float = 30.0) -> Path:
    """Bring a file to `target`, where it appears only when it is whole.

    What has come stands in `target` + `.part`; the next call goes on from there. Of several processes one downloads and
    the others wait. The length is checked against what the server says, the SHA-256 against its beginning in the file
    name, if there is one.

    Args:
        report: called with every piece.
        timeout: seconds without a byte after which the server counts as gone.

    Raises:
        SetupError: no connection, no such file, too few bytes, another hash; the message has the address, the target,
            and what to do.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target.with_name(target.name + '.lock')):
            return target if target.exists() else bring(url, target, report, timeout)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f'{path} cannot be written: {error.strerror or error}') from error


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time, where there are locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    while True:
        with lock.open('w') as file:
            with suppress(OSError):  # a disk that has no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not is_at(file.fileno(), lock):  # who had it took the file away
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def bring(url: str, target: Path, report: Report | None, timeout: float) -> Path:
    """To `target` + `.part`, then, checked, to `target`."""
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
        raise SetupError(f'{url} ended after {there} of {expected} bytes; the same command goes on from there')
    if not right_hash(part, target.name) or (expected is not None and there > expected):
        part.unlink()
        raise SetupError(f'{url} gave {there} bytes that are not what {target.name} says; {mend(url, target)}')
    part.replace(target)
    return target


def fetch(url: str, part: Path, report: Report | None, timeout: float) -> int | None:
    """Append what is missing to `part`; how long it should be in the end, if the server says so."""
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
    """Whether the file's SHA-256 begins as its name says; true if its name says nothing."""
    wanted = HASH.search(name)
    if not wanted:
        return True
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest().startswith(wanted[1])


def mend(url: str, target: Path) -> str:
    return f'where there is a network, bring it to {target}, for example by: curl -L -o {target} {url}'
