"""The manifest while it grows: what became of each input, a line at a time, so that a run can go on where it ended.

A line counts once it is whole, and the last line of an input counts. `manifest.py` makes the sorted manifest of it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from solo_bg.errors import ImageError, SetupError
from solo_bg.records import MANIFEST_FIELDS, EarlierResults, Record
from solo_bg.runs.shards import WHOLE, Shard

MANIFEST = 'manifest.jsonl'
LABELS = 'annotations.jsonl'
RUN = 'run.json'
ANNOTATIONS = 'annotations.json'
OF_A_SHARD = re.compile(r'manifest-\d{5,}-of-\d{5,}\.jsonl')
UNMATCHED = ('missing', 'unlabelled')  # that the annotations and the images do not share
FORGOTTEN = 'forgotten'  # takes back an earlier line; its pictures are to be deleted, or to be made
START = b'{"input": '


class Lines:
    """A file of JSON objects, one a line, each with an `input`. Its index is in memory, the lines are not.

    What comes after the last whole line is cut off as soon as a line is added. Any thread may read.

    Attributes:
        superseded: outputs that earlier lines of an input name.

    Raises:
        SetupError: the file is there but holds something else, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.superseded: set[str] = set()
        self._where: dict[str, tuple[int, int]] = {}  # input -> offset and length of its last line
        self._end = 0
        self._guard = threading.RLock()
        self._file: BinaryIO | None = None
        if path.exists():
            self._open('r+b')
            self._load()

    def _open(self, mode: str) -> None:
        try:
            self._file = cast(BinaryIO, self.path.open(mode, buffering=0))
        except OSError as error:
            raise SetupError(f'{self.path} cannot be opened: {error.strerror or error}') from error

    def _load(self) -> None:
        whole, line = 0, b''
        with self.path.open('rb') as lines:
            for line in lines:
                if line.endswith(b'\n'):
                    whole += 1
                    self._note(line)
            begun = self._end == self.path.stat().st_size or line.startswith(START[: len(line)])
        if (whole and not self._where) or not begun:
            raise SetupError(f'{self.path} is no journal of this tool; choose another --out')

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def raw(self, name: str) -> bytes:
        """The last line of an input, as it is."""
        offset, length = self._where[name]
        assert self._file
        with self._guard:
            self._file.seek(offset)
            return self._file.read(length)

    def get(self, name: str) -> dict[str, Any]:
        """The last line of an input; empty if it has none."""
        return dict(json.loads(self.raw(name))) if name in self._where else {}

    def add(self, facts: Mapping[str, Any]) -> None:
        """Append a line: it is with the system when this returns, and a process that dies does not lose it.

        Raises:
            ImageError: it cannot be written; what was written of it does not count.
        """
        with self._guard:
            if not self._file:
                self._open('w+b')
        assert self._file
        line = json.dumps(facts).encode() + b'\n'
        with self._guard:
            try:
                self._file.seek(self._end)
                self._file.truncate()
                if (written := self._file.write(line)) != len(line):
                    raise OSError(f'{written} of {len(line)} bytes could be written')
            except OSError as error:
                raise ImageError(f'cannot write {self.path}: {error.strerror or error}') from error
            self._note(line)

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _note(self, line: bytes) -> None:
        """Index a line. One that is damaged does not count: its input is done again."""
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


class Journal(EarlierResults):
    """What is known of each input of OUT, and where what becomes known is written.

    Args:
        out: the folder of the results.
        key: of all but the input that the pictures depend on.
        shard: whose journal this is. Those of other shards, and of earlier runs, are only read.
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
        """Whatever was made of this input without an error. What the own journal says of it goes before all others."""
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
        """Write down that pictures of an input are about to be written: until it is added, nothing is known of it."""
        self.records.add({'input': name, 'status': FORGOTTEN, 'outputs': dict(outputs)})

    def add(self, record: Record) -> None:
        """Write down what became of an input. Its annotations go first: a record promises them."""
        if record.before and self.records.get(record.input).get('key') == record.key:
            return
        if record.carried:
            image, annotations = record.carried
            self.labels.add({'input': record.input, 'key': record.key, 'image': image, 'annotations': annotations})
        self.records.add(record.facts())

    def earlier(self) -> Iterator[tuple[Lines, dict[str, Any]]]:
        """What all journals say of all inputs, and which journal."""
        for records, _ in self.pairs:
            yield from ((records, records.get(name)) for name in records)

    def close(self) -> None:
        for pair in self.pairs:
            for lines in pair:
                lines.close()


def journals(out: Path) -> list[Path]:
    """The manifest and the journals of shards that are in OUT, the manifest last."""
    shards = sorted(path for path in out.glob('manifest-*.jsonl') if OF_A_SHARD.fullmatch(path.name))
    return [*shards, *(path for path in [out / MANIFEST] if path.exists())]


def open_pair(manifest: Path) -> tuple[Lines, Lines]:
    """A journal and that of the annotations beside it."""
    return Lines(manifest), Lines(manifest.with_name(manifest.name.replace('manifest', 'annotations')))
