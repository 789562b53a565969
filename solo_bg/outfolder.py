"""OUT before a run: whose it is, what is in it, and what may become of that."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.errors import SetupError
from solo_bg.files import make_folder, remove_temporaries
from solo_bg.journal import ANNOTATIONS, FORGOTTEN, LABELS, MANIFEST, RUN, Journal, journals
from solo_bg.manifest import remove
from solo_bg.shards import Shard
from solo_bg.styles import STYLES

if TYPE_CHECKING:
    from solo_bg.inputs import ImageFile
    from solo_bg.pipeline import Options

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EBADF)  # says a disk that has none


@contextmanager
def claim(out: Path, shared: bool = False) -> Iterator[None]:
    """Make OUT, and keep other runs out of it. The shards of one run share it.

    Raises:
        SetupError: another run is at work in it, or nothing can be written there.
    """
    make_folder(out)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise SetupError(f'another run is writing to {out}; wait for it, or choose another --out') from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(folder)
            raise
    try:
        yield
    finally:
        os.close(folder)


def make_ready(out: Path, shard: Shard, resume: bool, overwrite: bool) -> None:
    """Refuse an OUT with results in it, unless they are to be completed or replaced.

    Raises:
        SetupError: there are results of an earlier run, or of something else, and neither is asked for.
    """
    if resume:
        tidy(out)
    elif overwrite:
        clear(out)
    else:
        refuse(out, shard)


def refuse(out: Path, shard: Shard) -> None:
    own = [out / MANIFEST, out / shard.name(MANIFEST)]
    neighbours = shard.count > 1 and any(journals(out))  # who began a moment earlier
    folders = [] if neighbours else [out / style for style in STYLES if is_filled(out / style)]
    for found in [path for path in own if path.exists()] + folders:
        raise SetupError(
            f'{found} is there already; --resume goes on where an earlier run ended, --overwrite begins again, '
            'or choose another --out'
        )


def is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def tidy(out: Path) -> None:
    """Delete what processes that died left half-written."""
    remove_temporaries(out.glob('.*.tmp'))
    for style in STYLES:
        remove_temporaries((out / style).rglob('.*.tmp'))


def clear(out: Path) -> None:
    """Delete the pictures that earlier manifests name, and then those manifests; leave all else."""
    tidy(out)
    journal = Journal(out)
    outputs = {path for facts in journal.earlier() for path in facts.get('outputs', {}).values()}
    outputs |= {path for records, _ in journal.pairs for path in records.superseded}
    journal.close()
    remove(out, outputs)
    for path in journals(out):
        path.with_name(path.name.replace('manifest', 'annotations')).unlink(missing_ok=True)
        path.with_name(path.name.replace('manifest', 'run')).with_suffix('.json').unlink(missing_ok=True)
        path.unlink()
    for name in (ANNOTATIONS, LABELS, RUN):
        (out / name).unlink(missing_ok=True)


def settle(journal: Journal, images: Sequence[ImageFile], names: Sequence[str], options: Options, same: bool) -> None:
    """What earlier runs say of inputs that are not given now: results stay, anything else is forgotten.

    Args:
        same: earlier results were made in the same way as those to come.

    Raises:
        SetupError: such results would be in the way of new ones, or do not belong to them.
    """
    given = {image.shown for image in images}
    taken = {options.output(style, name).casefold() for style in options.styles for name in names}
    for facts in list(journal.earlier()):
        if facts['input'] in given or facts['status'] == FORGOTTEN:
            continue
        outputs = facts['outputs'].values()
        if not outputs:
            journal.forget(facts['input'])
        elif not same or any(path.casefold() in taken for path in outputs):
            why = 'would have the names of new ones' if same else 'were made with other options or another model'
            raise SetupError(
                f'{journal.out} holds results of {facts["input"]}, which is not among the inputs now and whose results '
                f'{why}; give it too, choose another --out, or start again with --overwrite'
            )
