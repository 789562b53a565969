"""The end of a run: write the sorted manifest, annotations.json and the indexes of styles of several pictures, and
delete pictures that the manifest lacks."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from solo_bg.coco.check import Entry
from solo_bg.coco.pseudo_labels import number, pseudo_labels
from solo_bg.disk.write import open_atomically
from solo_bg.draw.styles import PART_STYLES, STYLE_NAMES
from solo_bg.errors import ImageError
from solo_bg.runs.journal import ANNOTATIONS, FORGOTTEN, LABELS, MANIFEST, journals, open_pair
from solo_bg.runs.lines import Lines
from solo_bg.runs.run_files import shard_runs
from solo_bg.runs.shards import Shard

Pair = tuple[Lines, Lines]
LOST = 'lost'
SHARD_LABELS = re.compile(r'annotations-\d{5,}-of-\d{5,}\.jsonl')


@dataclass(frozen=True)
class Contents:
    """What all journals of an output folder hold together.

    Attributes:
        pairs: every journal and its annotations, by the journal's path.
        source: input -> the pair that holds its valid record.
        inputs: all inputs with a valid record, sorted.
        labelled: those of them that have annotations.
        statuses: number of inputs by status; `LOST` for records whose annotations are not there.
        stale: pictures that no valid record names, relative to the output folder.
        indexes: style of several pictures -> paths of its indexes, one for each image, relative to the output folder.
    """

    pairs: dict[Path, Pair]
    source: dict[str, Pair]
    inputs: list[str]
    labelled: list[str]
    statuses: Counter[str]
    stale: set[str]
    indexes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def records(self) -> Iterator[bytes]:
        """The line of each input, sorted."""
        return (self.source[name][0].raw(name) for name in self.inputs)

    def labels(self) -> Iterator[bytes]:
        """The line of annotations of each input that has them, sorted."""
        return (self.source[name][1].raw(name) for name in self.labelled)

    def close(self) -> None:
        for pair in self.pairs.values():
            for lines in pair:
                lines.close()


def read_journals(out: Path, count: int = 1) -> Contents:
    """Read all journals. The record of an input in one of `count` shards holds, before those in other journals."""
    own = [out / Shard(index, count).name(MANIFEST) for index in range(count)]
    pairs = {path: open_pair(path) for path in [*(path for path in journals(out) if path not in own), *own]}
    source: dict[str, Pair] = {}
    stale = {output for records, _ in pairs.values() for output in records.superseded}
    for records, labels in pairs.values():
        for name in records:
            if name in source:
                stale.update(source[name][0].get(name).get('outputs', {}).values())
            source[name] = records, labels
    contents = Contents(pairs, source, [], [], Counter(), stale)
    for name in sorted(source):
        facts = source[name][0].get(name)
        if facts.get('status', FORGOTTEN) == FORGOTTEN:
            stale.update(facts.get('outputs', {}).values())
        elif is_lost(facts, source[name][1]):
            contents.statuses[LOST] += 1
        else:
            contents.inputs.append(name)
            contents.statuses[facts['status']] += 1
            contents.labelled.extend([name] if 'eliminated' in facts['outputs'] else [])
            for style in PART_STYLES.keys() & facts['outputs'].keys():
                contents.indexes[style].append(facts['outputs'][style])
    for name in contents.inputs if stale else ():
        stale.difference_update(source[name][0].get(name)['outputs'].values())
    return contents


def is_lost(facts: Mapping[str, Any], labels: Lines) -> bool:
    """Whether a record promises annotations that are not there: a power cut may keep the one and not the other."""
    return 'eliminated' in facts['outputs'] and labels.get(facts['input']).get('key') != facts['key']


def finish(out: Path, count: int, dataset: Mapping[str, Any] | None) -> Counter[str]:
    """Write the final files of a run. It can be stopped at any moment and called again.

    Args:
        count: number of shards that wrote journals. Records in other journals stay, unless a shard has the same input.
        dataset: `head`, what annotations.json holds besides images and annotations, and `numbered`, whether it is of
            predictions, whose ids are given here. None for no annotations.json.

    Returns:
        the number of inputs by status.
    """
    with closing(read_journals(out, count)) as contents, ExitStack() as files:
        remove(out, contents.stale)
        # the files take their names in reverse order: the manifest last, because it promises the rest
        files.enter_context(open_atomically(out / MANIFEST)).writelines(contents.records())
        if dataset is not None:
            write_annotations(files.enter_context(open_atomically(out / ANNOTATIONS)), dataset, contents)
            files.enter_context(open_atomically(out / LABELS)).writelines(contents.labels())
        for style, paths in contents.indexes.items():
            files.enter_context(open_atomically(out / index_name(style))).writelines(read_indexes(out, paths))
        contents.close()  # before files are replaced and deleted: Windows does neither to open files
        gone = [index_name(style) for style in PART_STYLES if style not in contents.indexes]
        for name in [*gone, *((ANNOTATIONS, LABELS) if dataset is None else ())]:
            (out / name).unlink(missing_ok=True)
    for path, pair in contents.pairs.items():
        for lines in pair if path.name != MANIFEST else ():
            lines.path.unlink(missing_ok=True)
    for path in [*label_files(out), *(shard_runs(out) if count == 1 else [])]:  # of shards that this run has completed
        path.unlink()
    return contents.statuses


def index_name(style: str) -> str:
    """The index of a style of several pictures over all images, relative to the output folder."""
    return f'{style}.jsonl'


def read_indexes(out: Path, paths: Iterable[str]) -> Iterator[bytes]:
    """The contents of the images' indexes.

    Raises:
        ImageError: one cannot be read.
    """
    for path in paths:
        try:
            yield (out / path).read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f'cannot read {out / path}: {reason}; run again with --resume to make it again') from error


def label_files(out: Path) -> list[Path]:
    """The annotations of shards."""
    return sorted(path for path in out.glob('annotations-*.jsonl') if SHARD_LABELS.fullmatch(path.name))


def write_annotations(file: BinaryIO, dataset: Mapping[str, Any], contents: Contents) -> None:
    """Write a COCO data set for the folder `eliminated`; one image is in memory at a time."""
    head = dataset['head']

    def carried() -> Iterator[tuple[Entry, list[Entry]]]:
        lines = map(json.loads, contents.labels())
        return ((line['image'], line['annotations']) for line in lines)

    if dataset['numbered'] and not head['categories']:  # the model does not name its classes
        most = max((one['category_id'] for _, found in carried() for one in found), default=-1)
        head = pseudo_labels([str(label) for label in range(most + 1)])

    def images() -> Iterator[tuple[Entry, list[Entry]]]:
        ids = [category['id'] for category in head['categories']]
        return number(carried(), ids) if dataset['numbered'] else carried()

    file.write(b'{')
    for key, value in head.items():
        file.write(f'{json.dumps(key)}: {json.dumps(value)},\n'.encode())
    file.write(b'"images": [')
    write_items(file, (image for image, _ in images()))
    file.write(b'],\n"annotations": [')
    write_items(file, (one for _, found in images() for one in found))
    file.write(b']}\n')


def write_items(file: BinaryIO, items: Iterable[Entry]) -> None:
    for index, item in enumerate(items):
        file.write((',\n' if index else '\n').encode() + json.dumps(item).encode())


def remove(out: Path, outputs: Iterable[str]) -> None:
    """Delete pictures, and the folders that become empty.

    Raises:
        ImageError: one cannot be deleted.
    """
    for output in outputs:
        below = PurePosixPath(output)
        if (
            '\\' in output
            or '\0' in output
            or below.is_absolute()
            or '..' in below.parts
            or below.parts[:1] not in [(style,) for style in STYLE_NAMES]
        ):
            continue  # a damaged manifest: we write no such paths
        path = out / below
        if not os.path.lexists(path) or os.path.isdir(path):  # it was never written, because of a long name for example
            continue
        try:
            path.unlink()
            for parent in path.parents:
                if parent == out or any(parent.iterdir()):
                    break
                parent.rmdir()
        except OSError as error:
            raise ImageError(f'cannot delete {path}: {error.strerror or error}') from error
