"""The output folder before a run: lock it, look at what is in it, and refuse, keep or delete that."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from solo_bg.disk.write import make_folder, remove_temporaries
from solo_bg.draw.styles import PART_STYLES, STYLE_NAMES
from solo_bg.errors import SetupError
from solo_bg.records import input_of
from solo_bg.runs.journal import ANNOTATIONS, FORGOTTEN, LABELS, MANIFEST, RUN, Journal, journals
from solo_bg.runs.lines import Lines
from solo_bg.runs.locks import LockedError, lock
from solo_bg.runs.manifest import index_name, label_files, remove
from solo_bg.runs.report import files as report_files
from solo_bg.runs.run_files import shard_runs
from solo_bg.runs.shards import WHOLE, Shard

LOCK = 'run.lock'
TAKEN = 'is there already; --resume continues the earlier run, --overwrite starts again, or choose another --out'


@contextmanager
def claim(out: Path, shard: Shard = WHOLE) -> Iterator[bool]:
    """Make the output folder and keep other processes out of it.

    The shards of one run share the folder, but each shard can be started only once. A folder that was made here and
    stays empty is removed again.

    Yields:
        whether the folder could be locked.

    Raises:
        SetupError: another process works there, or nothing can be written there.
    """
    made = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    make_folder(out)
    try:
        if shard.count == 1:
            with lock_folder(out, shared=False) as locked:
                yield locked
        else:
            with lock_folder(out, shared=True) as shared, lock_shard(out, shard) as own:
                yield shared and own
    finally:
        with suppress(OSError):  # it is not empty
            for folder in made:
                folder.rmdir()


@contextmanager
def lock_folder(out: Path, shared: bool) -> Iterator[bool]:
    try:
        with lock(out / LOCK, shared) as locked:
            yield locked
    except LockedError as error:
        raise SetupError(f'another run is writing to {out}; wait for it, or choose another --out') from error


@contextmanager
def lock_shard(out: Path, shard: Shard) -> Iterator[bool]:
    try:
        with lock(out / shard.name(LOCK)) as locked:
            yield locked
    except LockedError as error:
        raise SetupError(f'{shard} is already running in {out}; start each shard once') from error


def make_ready(out: Path, shard: Shard, resume: bool, overwrite: bool, alone: bool) -> None:
    """Refuse an output folder that holds results, unless they are to be completed or replaced.

    Args:
        alone: no other process can be at work in the folder.

    Raises:
        SetupError: there are results of an earlier run and neither `resume` nor `overwrite` is set, or there are files
            of something else by the names of ours.
    """
    there = journals(out)
    mine = there if shard.count == 1 else [path for path in there if path.name in (MANIFEST, shard.name(MANIFEST))]
    if there and (resume or overwrite):
        tidy(out, alone)
        if overwrite:
            clear(out)
    elif mine:
        refuse_results(mine)
        if shard.count == 1:
            refuse_pictures(out)
    elif there:  # the journals of other shards, which began a moment earlier
        refuse_files(out, shard)
    else:
        refuse_files(out, shard)
        if not (resume or overwrite):
            refuse_pictures(out)


def refuse_results(paths: Iterable[Path]) -> None:
    """Raise SetupError if one of these journals names a picture. A run that wrote none left nothing to lose."""
    for path in paths:
        with closing(Lines(path)) as lines:
            if lines.superseded or any(lines.get(name).get('outputs') for name in lines):
                raise SetupError(f'{path} {TAKEN}')


def refuse_files(out: Path, shard: Shard) -> None:
    """Raise SetupError if files with the names of results exist. Called without journals: they are not results."""
    names = [MANIFEST, shard.name(MANIFEST), RUN, ANNOTATIONS, LABELS, *map(index_name, PART_STYLES)]
    for path in [out / name for name in names if (out / name).exists()]:
        if path.name != RUN or not is_our_run(path):  # a run that was stopped early leaves its run.json alone
            raise SetupError(f'{path} is there, but this tool did not write it; move it away, or choose another --out')


def refuse_pictures(out: Path) -> None:
    """Raise SetupError if there are files in the folders that pictures go to."""
    for style in STYLE_NAMES:
        if (out / style).is_dir() and any((out / style).iterdir()):
            raise SetupError(f'{out / style} {TAKEN}')


def is_our_run(path: Path) -> bool:
    """Whether this is a run.json that `provenance.describe` made."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and {'key', 'depends', 'start'} <= facts.keys()


def tidy(out: Path, alone: bool) -> None:
    """Delete the unfinished files of processes that died."""
    remove_temporaries(out.glob('.*.tmp'), alone)
    for style in STYLE_NAMES:
        remove_temporaries((out / style).rglob('.*.tmp'), alone)
    remove_temporaries(report_files.temporaries(out), alone)


def clear(out: Path) -> None:
    """Delete the pictures that earlier manifests name, the report, then those manifests. Other files stay."""
    journal = Journal(out)
    outputs = {path for _, facts in journal.earlier() for path in facts.get('outputs', {}).values()}
    outputs |= {path for records, _ in journal.pairs for path in records.superseded}
    journal.close()
    remove(out, outputs)
    report_files.remove_report(out)
    for name in (ANNOTATIONS, LABELS, *map(index_name, PART_STYLES), RUN):
        (out / name).unlink(missing_ok=True)
    for path in (*shard_runs(out), *label_files(out), *journals(out)):  # the manifest last: it makes OUT ours
        path.unlink()


def settle(journal: Journal, given: Collection[str], outputs: Iterable[str], same: bool, shard: Shard) -> None:
    """Decide about the records of earlier runs, before this one begins.

    Records of inputs that are not given now stay if they name pictures, and are forgotten otherwise. If the earlier
    runs had other options or another model, all records are forgotten, and all inputs are done again.

    Args:
        given: the inputs of this run, by their names in the manifest.
        outputs: paths of all pictures that this run may write.
        same: the earlier runs had the same options and the same model.

    Raises:
        SetupError: earlier results would have the names of new ones, or were made in another way.
    """
    if not same and not shard.alone:
        raise SetupError(
            f'{journal.out} holds results made with other options or another model, and other shards may be at work; '
            'choose another --out, or delete those results first'
        )
    taken = {path.casefold() for path in outputs}
    for lines, facts in list(journal.earlier()):
        name, there = facts['input'], facts.get('outputs', {})
        if facts.get('status') == FORGOTTEN or not (shard.alone or lines is journal.records):
            continue
        is_given = name in given or input_of(name) in given
        if there and not is_given and (not same or any(path.casefold() in taken for path in there.values())):
            why = 'would have the names of new ones' if same else 'were made with other options or another model'
            raise SetupError(
                f'{journal.out} holds results of {name}, which is not among the inputs now and whose results {why}; '
                'give it too, choose another --out, or start again with --overwrite'
            )
        if not same or not (is_given or there):
            lines.add({'input': name, 'status': FORGOTTEN})
