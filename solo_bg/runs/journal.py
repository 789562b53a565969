"""The journal: the manifest while a run writes it, one line for each input, so that a stopped run can continue.

A line is valid once it is complete. The last valid line of an input holds. `manifest.py` sorts the journals into the
final manifest.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from solo_bg.errors import ImageError, SetupError
from solo_bg.records import MANIFEST_FIELDS, EarlierResults, Record, error_record
from solo_bg.runs.shards import WHOLE, Shard

MANIFEST = 'manifest.jsonl'
LABELS = 'annotations.jsonl'
RUN = 'run.json'
ANNOTATIONS = 'annotations.json'
SHARD_MANIFEST = re.compile(r'manifest-\d{5,}-of-\d{5,}\.jsonl')
FORGOTTEN = 'forgotten'  # status of a line that cancels earlier ones; its pictures are unfinished, or to be deleted
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


class Journal(EarlierResults):
    """The results in the output folder: those of earlier runs, and the place where this run writes its own.

    Args:
        out: the output folder.
        key: the run key, see `EarlierResults`.
        shard: whose journal is written. The journals of other shards and of earlier runs are only read.
    """

    def __init__(self, out: Path, key: str = '', shard: Shard = WHOLE) -> None:
        super().__init__(key)
        self.out = out
        own = out / shard.name(MANIFEST)
        self.records, self.labels = open_pair(own)
        others = [open_pair(path) for path in journals(out) if path != own]
        self.pairs = [(self.records, self.labels), *others]

    def find(self, name: str, key: str) -> Record | None:
        return next((record for record in self.found(name) if record.key == key), None)

    def found(self, name: str) -> Iterator[Record]:
        """Records of this input, errors left out. If this shard's journal has a line of it, no other journal is read."""
        for records, labels in self.pairs[:1] if name in self.records else self.pairs[1:]:
            facts = records.get(name)
            if facts.get('status') in (None, FORGOTTEN, 'error') or not facts.get('key'):
                continue
            facts = {known: facts[known] for known in MANIFEST_FIELDS if known in facts}
            if 'eliminated' not in facts['outputs']:
                yield Record(**facts, before=True)
            elif (label := labels.get(name)).get('key') == facts['key']:
                yield Record(**facts, carried=(label['image'], label['annotations']), before=True)

    def begin(self, name: str, outputs: Mapping[str, str]) -> None:
        """Note that pictures of an input are about to be written. Until its record is added, they are unfinished."""
        self.records.add({'input': name, 'status': FORGOTTEN, 'outputs': dict(outputs)})

    def add(self, record: Record) -> Record:
        """Write a record. Its annotations are written first, because the record promises them.

        Returns:
            the record as it was written: an error if it cannot be represented as JSON.

        Raises:
            ImageError: the journal cannot be written.
            SetupError: another process has written to the journal.
        """
        if record.before and self.records.get(record.input).get('key') == record.key:
            return record
        label = None
        try:
            line = encode_line(record.facts())
            if record.carried:
                image, annotations = record.carried
                facts = {'input': record.input, 'key': record.key, 'image': image, 'annotations': annotations}
                label = encode_line(facts)
        except Exception as error:  # a mask source may give any values, as names of classes for example
            record, label = error_record(record.input, error, record.seconds, record.key), None
            line = encode_line(record.facts())
        if label:
            self.labels.append(label)
        self.records.append(line)
        return record

    def earlier(self) -> Iterator[tuple[Lines, dict[str, Any]]]:
        """The last line of every input in every journal, with the journal it is in."""
        for records, _ in self.pairs:
            yield from ((records, records.get(name)) for name in records)

    def close(self) -> None:
        for pair in self.pairs:
            for lines in pair:
                lines.close()


def journals(out: Path) -> list[Path]:
    """Paths of all journals in the output folder: those of shards, then the manifest."""
    shards = sorted(path for path in out.glob('manifest-*.jsonl') if SHARD_MANIFEST.fullmatch(path.name))
    return [*shards, *(path for path in [out / MANIFEST] if path.exists())]


def open_pair(manifest: Path) -> tuple[Lines, Lines]:
    """A journal and the one of annotations that belongs to it."""
    return Lines(manifest), Lines(manifest.with_name(manifest.name.replace('manifest', 'annotations')))
