"""A file of JSON lines that survives being killed while it is written, and notices a second writer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from solo_bg.errors import ImageError, SetupError

LINE_START = b'{"input": '
CHANGED = 'is written by another process; end one of the two, then run the other with --resume'


class Lines:
    """A file with one JSON object in each line, which has an `input`. Memory holds an index, not the lines.

    An incomplete last line is removed when the next line is added. Any thread may read and add.

    Attributes:
        superseded: pictures that earlier lines of an input name, relative to the output folder.

    Raises:
        SetupError: the file holds something else, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.superseded: set[str] = set()
        self._where: dict[str, tuple[int, int]] = {}  # input -> offset and length of its last line
        self._end = 0  # of the last complete line
        self._size = 0  # of the file, as this process left it
        self._guard = threading.RLock()
        self._file: BinaryIO | None = None
        if path.exists():
            self._open('r+b')
            self._load()

    def _open(self, mode: str) -> None:
        try:
            self._file = cast(BinaryIO, self.path.open(mode, buffering=0))
        except FileExistsError as error:
            raise SetupError(f'{self.path} {CHANGED}') from error
        except OSError as error:
            raise SetupError(f'{self.path} cannot be opened: {error.strerror or error}') from error

    def _load(self) -> None:
        whole, line = 0, b''
        with self.path.open('rb') as lines:
            for line in lines:
                if line.endswith(b'\n'):
                    whole += 1
                    self._note(line)
            self._size = os.fstat(lines.fileno()).st_size
            begun = self._end == self._size or line.startswith(LINE_START[: len(line)])
        if (whole and not self._where) or not begun:
            raise SetupError(f'{self.path} was not written by this tool; choose another --out')

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def raw(self, name: str) -> bytes:
        """The last line of an input, with its line end."""
        offset, length = self._where[name]
        assert self._file
        with self._guard:
            self._file.seek(offset)
            return self._file.read(length)

    def get(self, name: str) -> dict[str, Any]:
        """The last line of an input; empty if it has none."""
        return dict(json.loads(self.raw(name))) if name in self._where else {}

    def add(self, facts: Mapping[str, Any]) -> None:
        """Append a line. When this returns, the operating system has it: it survives the end of this process.

        Raises:
            ImageError: the line cannot be written; what was written of it is ignored.
            SetupError: another process has written to the file.
        """
        self.append(encode_line(facts))

    def append(self, line: bytes) -> None:
        """Append an encoded line. Errors as in `add`."""
        with self._guard:
            if not self._file:
                self._open('x+b')
            assert self._file
            if os.fstat(self._file.fileno()).st_size != self._size:
                raise SetupError(f'{self.path} {CHANGED}')
            try:
                self._file.seek(self._end)
                self._file.truncate()
                if (written := self._file.write(line)) != len(line):
                    raise OSError(f'{written} of {len(line)} bytes could be written')
            except OSError as error:
                raise ImageError(f'cannot write {self.path}: {error.strerror or error}') from error
            finally:
                self._size = os.fstat(self._file.fileno()).st_size
            self._note(line)

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _note(self, line: bytes) -> None:
        """Index a line. A damaged one is ignored, so that its input is done again."""
        try:
            facts = json.loads(line)
            name, outputs = facts['input'], facts.get('outputs', {})
            good = isinstance(name, str) and all(isinstance(path, str) for path in outputs.values())
        except (ValueError, TypeError, KeyError, AttributeError):
            good = False
        if good:
            self.superseded.update(self.get(name).get('outputs', {}).values())
            self._where[name] = self._end, len(line)
        self._end += len(line)


def encode_line(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts).encode() + b'\n'
