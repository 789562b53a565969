"""The journal: the manifest while a run writes it, one line for each input, so that a stopped run can continue.

A line is valid once it is complete. The last valid line of an input holds. `manifest.py` sorts the journals into the
final manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from solo_bg.records import MANIFEST_FIELDS, EarlierResults, Record, error_record, input_of
from solo_bg.runs.lines import Lines, encode_line
from solo_bg.runs.shards import WHOLE, Shard

MANIFEST = 'manifest.jsonl'
LABELS = 'annotations.jsonl'
RUN = 'run.json'
ANNOTATIONS = 'annotations.json'
SHARD_MANIFEST = re.compile(r'manifest-\d{5,}-of-\d{5,}\.jsonl')
FORGOTTEN = 'forgotten'  # status of a line that cancels earlier ones; its pictures are unfinished, or to be deleted


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
        """Records of this input without errors. Other journals are read only if this shard's has no line of it."""
        for records, labels in self.pairs[:1] if name in self.records else self.pairs[1:]:
            facts = records.get(name)
            if facts.get('status') in (None, FORGOTTEN, 'error') or not facts.get('key'):
                continue
            facts = {known: facts[known] for known in MANIFEST_FIELDS if known in facts}
            if not is_annotated(facts):
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
        if record.frames is not None:
            self.forget_frames(record)
        return record

    def forget_frames(self, video: Record) -> None:
        """Forget frames that were written of an earlier file of this name."""
        for name in [name for name in self.records if input_of(name) == video.input != name]:
            if self.records.get(name).get('key', video.key) != video.key:
                self.records.add({'input': name, 'status': FORGOTTEN})

    def earlier(self) -> Iterator[tuple[Lines, dict[str, Any]]]:
        """The last line of every input in every journal, with the journal it is in."""
        for records, _ in self.pairs:
            yield from ((records, records.get(name)) for name in records)

    def close(self) -> None:
        for pair in self.pairs:
            for lines in pair:
                lines.close()


def is_annotated(facts: Mapping[str, Any]) -> bool:
    """Whether the input of this line has a line of annotations: an image with the style `eliminated`. No video has."""
    return 'eliminated' in facts['outputs'] and 'frames' not in facts


def journals(out: Path) -> list[Path]:
    """Paths of all journals in the output folder: those of shards, then the manifest."""
    shards = sorted(path for path in out.glob('manifest-*.jsonl') if SHARD_MANIFEST.fullmatch(path.name))
    return [*shards, *(path for path in [out / MANIFEST] if path.exists())]


def open_pair(manifest: Path) -> tuple[Lines, Lines]:
    """A journal and the one of annotations that belongs to it."""
    return Lines(manifest), Lines(manifest.with_name(manifest.name.replace('manifest', 'annotations')))


def count_records(path: Path) -> int:
    """The number of inputs that have a valid record in a journal, read from the disk."""
    with closing(Lines(path)) as lines:
        return sum(lines.get(name).get('status', FORGOTTEN) != FORGOTTEN for name in lines)
