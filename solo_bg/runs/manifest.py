"""The end of a run: journals -> the sorted manifest and annotations.json, and no picture that it does not name."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from solo_bg.coco.check import Entry
from solo_bg.coco.pseudo_labels import number, pseudo_labels
from solo_bg.disk.write import open_atomically, write_bytes
from solo_bg.draw.styles import STYLES
from solo_bg.errors import ImageError, SetupError
from solo_bg.runs.journal import ANNOTATIONS, FORGOTTEN, LABELS, MANIFEST, RUN, Lines, journals, open_pair
from solo_bg.runs.shards import WHOLE, Shard

Pair = tuple[Lines, Lines]
LOST = 'lost'
RUN_OF_A_SHARD = re.compile(r'run-\d{5,}-of-\d{5,}\.json')
LABELS_OF_A_SHARD = re.compile(r'annotations-\d{5,}-of-\d{5,}\.jsonl')


def write_run(out: Path, facts: Mapping[str, Any], shard: Shard = WHOLE) -> None:
    """Write OUT/run.json, or a shard's: how the results are made."""
    write_bytes(out / shard.name(RUN), (json.dumps(facts, indent=2) + '\n').encode())


def read_runs(out: Path) -> list[dict[str, Any]]:
    """What `write_run` wrote, for whole runs and for shards."""
    paths = [*runs(out), *(path for path in [out / RUN] if path.exists())]
    return [json.loads(path.read_bytes()) for path in paths]


def runs(out: Path) -> list[Path]:
    """The run files of shards."""
    return sorted(path for path in out.glob('run-*.json') if RUN_OF_A_SHARD.fullmatch(path.name))


def label_files(out: Path) -> list[Path]:
    """The annotations of shards."""
    return sorted(path for path in out.glob('annotations-*.jsonl') if LABELS_OF_A_SHARD.fullmatch(path.name))


def merge(out: Path) -> tuple[Counter[str], list[str]]:
    """Make one run of those of the shards; killed at any moment, or with nothing to merge, it can be called again.

    Returns:
        how many inputs have which status, and the shards that have not ended.

    Raises:
        SetupError: there are no results in OUT, or the shards do not belong together.
    """
    there = {path: json.loads(path.read_bytes()) for path in runs(out)}
    if not any(journals(out)):
        raise SetupError(f'{out} holds no results of shards; expected the --out that they had')
    last = json.loads((out / RUN).read_bytes()) if (out / RUN).exists() else {}
    if not there or (last.get('end') and not any(path.name != MANIFEST for path in journals(out))):
        for path in there:  # a merge was killed before its last step
            path.unlink()
        return count_statuses(out / MANIFEST), [] if last.get('end') else ['the run']
    latest = max(there.values(), key=lambda run: str(run['start']))
    shards = [Shard(index, latest['shards']) for index in range(latest['shards'])]
    facts = {shard: there.get(out / shard.name(RUN), {'end': None}) for shard in shards}
    begun = [run for run in facts.values() if 'key' in run]
    if len({run['key'] for run in begun}) > 1:
        raise SetupError(f'the shards in {out} had other options or another model; run each in the same way')
    statuses = finish(out, latest['shards'], latest['dataset'])
    unfinished = [f'shard {shard.index}/{shard.count}' for shard, run in facts.items() if not run['end']]
    unfinished += [f'{statuses[LOST]} images whose annotations were lost'] if statuses[LOST] else []
    end = None if unfinished else max(run['end'] for run in begun)
    del latest['dataset']
    write_run(out, latest | {'start': min(run['start'] for run in begun), 'end': end})
    for path in () if unfinished else there:
        path.unlink()
    return statuses, unfinished


def count_statuses(path: Path) -> Counter[str]:
    manifest = Lines(path)
    counted = Counter(str(manifest.get(name).get('status')) for name in manifest)
    manifest.close()
    del counted[FORGOTTEN]
    return counted


def finish(out: Path, count: int, dataset: Mapping[str, Any] | None) -> Counter[str]:
    """Write what a whole run leaves in OUT; killed at any moment, it can be called again.

    Args:
        count: how many shards wrote journals. What other journals say of inputs that are not theirs stays.
        dataset: `head`, what annotations.json holds beside images and annotations, and `numbered`, whether it is of
            predictions, whose ids are given here. None for no annotations.json.

    Returns:
        how many inputs have which status.
    """
    own = [out / Shard(index, count).name(MANIFEST) for index in range(count)]
    there = journals(out)
    pairs = {path: open_pair(path) for path in [*(path for path in there if path not in own), *own]}
    chosen: dict[str, Pair] = {}
    stale = {output for records, _ in pairs.values() for output in records.superseded}
    for records, labels in pairs.values():
        for name in records:
            if name in chosen:
                stale.update(chosen[name][0].get(name).get('outputs', {}).values())
            chosen[name] = records, labels
    order = [name for name in sorted(chosen) if chosen[name][0].get(name).get('status', FORGOTTEN) != FORGOTTEN]
    stale.update(*(facts.get('outputs', {}).values() for facts in facts_of(chosen.keys() - set(order), chosen)))
    lost = {name for name in order if is_lost(name, *chosen[name])}
    order = [name for name in order if name not in lost]
    statuses = Counter(facts['status'] for facts in facts_of(order, chosen)) + Counter({LOST: len(lost)})
    remove(out, stale.difference(*(facts['outputs'].values() for facts in facts_of(order, chosen))))

    labelled = [facts['input'] for facts in facts_of(order, chosen) if 'eliminated' in facts['outputs']]
    if dataset is not None:
        write_lines(out / LABELS, (chosen[name][1].raw(name) for name in labelled))
        write_annotations(out, dataset, [chosen[name][1] for name in labelled], labelled)
    else:
        for name in (ANNOTATIONS, LABELS):
            (out / name).unlink(missing_ok=True)
    write_lines(out / MANIFEST, (chosen[name][0].raw(name) for name in order))
    for path, pair in pairs.items():
        for lines in pair:
            lines.close()
            if path.name != MANIFEST:
                lines.path.unlink(missing_ok=True)
    for path in [*label_files(out), *(runs(out) if count == 1 else [])]:  # of shards that this run has completed
        path.unlink()
    return statuses


def is_lost(name: str, records: Lines, labels: Lines) -> bool:
    """Whether a record promises annotations that are not there: a loss of power may spare the one and not the other."""
    facts = records.get(name)
    return 'eliminated' in facts['outputs'] and labels.get(name).get('key') != facts['key']


def facts_of(names: Iterable[str], chosen: Mapping[str, Pair]) -> Iterator[dict[str, Any]]:
    return (chosen[name][0].get(name) for name in names)


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    with open_atomically(path) as file:
        file.writelines(lines)


def write_annotations(out: Path, dataset: Mapping[str, Any], labels: Sequence[Lines], names: Sequence[str]) -> None:
    """Write OUT/annotations.json, a COCO data set for OUT/eliminated; one image is in memory at a time."""
    head = dataset['head']

    def carried() -> Iterator[tuple[Entry, list[Entry]]]:
        lines = (of.get(name) for of, name in zip(labels, names, strict=True))
        return ((line['image'], line['annotations']) for line in lines)

    if dataset['numbered'] and not head['categories']:  # the model does not name its classes
        most = max((one['category_id'] for _, found in carried() for one in found), default=-1)
        head = pseudo_labels([str(label) for label in range(most + 1)])

    def images() -> Iterator[tuple[Entry, list[Entry]]]:
        ids = [category['id'] for category in head['categories']]
        return number(carried(), ids) if dataset['numbered'] else carried()

    with open_atomically(out / ANNOTATIONS) as file:
        file.write(b'{')
        for key, value in head.items():
            file.write(f'{json.dumps(key)}: {json.dumps(value)},\n'.encode())
        file.write(b'"images": [')
        write_items(file, (image for image, _ in images()))
        file.write(b'],\n"annotations": [')
        write_items(file, (one for _, found in images() for one in found))
        file.write(b']}\n')


def write_items(file: Any, items: Iterable[Entry]) -> None:
    for index, item in enumerate(items):
        file.write((',\n' if index else '\n').encode() + json.dumps(item).encode())


def remove(out: Path, outputs: Iterable[str]) -> None:
    """Delete pictures of ours, and the folders that this empties.

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
            or below.parts[:1] not in [(style,) for style in STYLES]
        ):
            continue  # no path that a manifest of ours holds
        path = out / below
        if not os.path.lexists(path) or os.path.isdir(
            path
        ):  # it could not be written: a long name, a folder in the way
            continue
        try:
            path.unlink()
            for parent in path.parents:
                if parent == out or any(parent.iterdir()):
                    break
                parent.rmdir()
        except OSError as error:
            raise ImageError(f'cannot delete {path}: {error.strerror or error}') from error
