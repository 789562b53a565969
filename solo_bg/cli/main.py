"""The terminal: words -> settings -> run -> exit code. `report.py` prints.

Torch and mmdet are imported when the work starts, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from solo_bg.cli.arguments import Command, parse
from solo_bg.cli.report import Tally, progress, show_failures, show_merged, show_plan, show_summary
from solo_bg.errors import ImageError, SetupError
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import launched_shard


class Interrupted(BaseException):
    """SIGTERM came. As KeyboardInterrupt, no `except Exception` stops it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0 all done, 1 some inputs failed, 2 nothing could start, 130 interrupted, 143 terminated.
    """
    command = parse(sys.argv[1:] if argv is None else argv)
    set_up_terminal()
    try:
        with sigterm_raises():
            if command.settings is None:
                assert command.merge
                return merge(command.merge)
            return run(command, command.settings)
    except SetupError as error:
        print(f'eliminate_bg: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except ImageError as error:  # the manifest itself could not be written
        print(f'eliminate_bg: error: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted) as stop:
        print('eliminate_bg: interrupted; run the same command with --resume to continue', file=sys.stderr)
        return 130 if isinstance(stop, KeyboardInterrupt) else 143


def set_up_terminal() -> None:
    """Print any file name; show the package's warnings, and hide those of libraries that we report ourselves."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # file names may hold any bytes
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')  # broken images are reported by us
    warnings.filterwarnings('ignore', module='PIL')  # damaged tags as well, if they matter
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('eliminate_bg: warning: %(message)s'))
    logging.getLogger('solo_bg').handlers = [handler]


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM as an exception, as Ctrl-C is: running work ends, and the journal is whole."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(command: Command, settings: Settings) -> int:
    """Plan, execute with a progress display, report."""
    from solo_bg.runs import manifest
    from solo_bg.runs.assemble import make_options
    from solo_bg.runs.journal import MANIFEST
    from solo_bg.runs.run import count_records, execute, make_plan

    plan = make_plan(settings)
    if command.dry_run:
        return show_plan(plan.images, make_options(settings))
    shard, tally = launched_shard() or settings.shard, Tally()
    for record in progress(execute(settings, plan), count_records(plan, shard), command.quiet or shard.index > 0):
        tally.add(record)
    if shard.launched and shard.index == 0:
        show_merged(manifest.count_statuses(settings.out / MANIFEST), [])
    if not command.quiet and not shard.launched:
        show_summary(tally, settings.out)
    show_failures(tally)
    return 1 if tally.failed and not shard.launched else 0  # torchrun would kill the other processes


def merge(out: Path) -> int:
    """`--merge`: make one run of the shards' results."""
    from solo_bg.runs import manifest, outfolder

    with outfolder.claim(out):
        statuses, unfinished = manifest.merge(out)
    show_merged(statuses, unfinished)
    return 1 if unfinished or statuses['error'] or statuses['missing'] else 0
