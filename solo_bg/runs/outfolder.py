"""OUT before a run: whose it is, what is in it, and what may become of that."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from solo_bg.disk.write import make_folder, remove_temporaries
from solo_bg.draw.styles import STYLES
from solo_bg.errors import SetupError
from solo_bg.runs.journal import ANNOTATIONS, FORGOTTEN, LABELS, MANIFEST, RUN, Journal, journals
from solo_bg.runs.manifest import label_files, remove, runs
from solo_bg.runs.shards import Shard


@contextmanager
def claim(out: Path, shared: bool = False) -> Iterator[bool]:
    """Make OUT, and keep other runs out of it. The shards of one run share it. Gives whether OUT could be locked.

    Raises:
        SetupError: another run is at work in it, or nothing can be written there.
    """
    make_folder(out)
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        locked = True
    except BlockingIOError as error:
        os.close(folder)
        raise SetupError(f'another run is writing to {out}; wait for it, or choose another --out') from error
    except OSError:  # a disk that has no locks, or none of folders: NFS
        locked = False
    try:
        yield locked
    finally:
        os.close(folder)


def make_ready(out: Path, shard: Shard, resume: bool, overwrite: bool, alone: bool) -> None:
    """Refuse an OUT with results in it, unless they are to be completed or replaced.

    Args:
        alone: nobody else can be at work in OUT.

    Raises:
        SetupError: there are results of an earlier run, or of something else, and neither is asked for.
    """
    ours = any(journals(out))
    neighbours = (
        ours and shard.count > 1 and not (out / MANIFEST).exists() and not (out / shard.name(MANIFEST)).exists()
    )
    if ours and (resume or overwrite):
        tidy(out, alone)
        if overwrite:
            clear(out)
    elif not neighbours:  # who began a moment earlier
        refuse(out, shard, resume or overwrite)


def refuse(out: Path, shard: Shard, asked: bool) -> None:
    """Raise SetupError if there is what a run would write; `asked`: folders with pictures of others' are no matter."""
    files = [MANIFEST, shard.name(MANIFEST), RUN, ANNOTATIONS, LABELS]
    found = [out / name for name in files if (out / name).exists()]
    if found and asked:
        raise SetupError(f'{found[0]} is there, but no manifest of this tool; move it away, or choose another --out')
    found += [] if asked else [out / style for style in STYLES if is_filled(out / style)]
    if found:
        raise SetupError(
            f'{found[0]} is there already; --resume goes on where an earlier run ended, --overwrite begins again, '
            'or choose another --out'
        )


def is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def tidy(out: Path, alone: bool) -> None:
    """Delete what processes that died left half-written."""
    remove_temporaries(out.glob('.*.tmp'), alone)
    for style in STYLES:
        remove_temporaries((out / style).rglob('.*.tmp'), alone)


def clear(out: Path) -> None:
    """Delete the pictures that earlier manifests name, and then those manifests; leave all else."""
    journal = Journal(out)
    outputs = {path for _, facts in journal.earlier() for path in facts.get('outputs', {}).values()}
    outputs |= {path for records, _ in journal.pairs for path in records.superseded}
    journal.close()
    remove(out, outputs)
    for name in (ANNOTATIONS, LABELS, RUN):
        (out / name).unlink(missing_ok=True)
    for path in (*runs(out), *label_files(out), *journals(out)):  # the manifest last: it makes OUT ours
        path.unlink()


def settle(journal: Journal, given: Collection[str], outputs: Iterable[str], same: bool, shard: Shard) -> None:
    """What earlier runs say of inputs that are not given now: results stay, anything else is forgotten.

    If the runs were made in another way, all is forgotten, and done again.

    Args:
        given: the inputs of this run, as the manifest calls them.
        outputs: all that will be written.
        same: earlier results were made in the same way as those to come.

    Raises:
        SetupError: earlier results would be in the way of new ones, or do not belong to them.
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
        if there and name not in given and (not same or any(path.casefold() in taken for path in there.values())):
            why = 'would have the names of new ones' if same else 'were made with other options or another model'
            raise SetupError(
                f'{journal.out} holds results of {name}, which is not among the inputs now and whose results {why}; '
                'give it too, choose another --out, or start again with --overwrite'
            )
        if not same or (name not in given and not there):
            lines.add({'input': name, 'status': FORGOTTEN})
