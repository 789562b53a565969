"""The command `eliminate_bg`: parse the arguments, run, return the exit code. `report.py` prints.

Torch and mmdet are imported when the work starts, so that `--help` and errors in the arguments appear at once.
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
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from solo_bg.cli.arguments import Command, parse
from solo_bg.cli.report import (
    FrameLines,
    Tally,
    in_one_line,
    progress,
    show_failures,
    show_merged,
    show_missing,
    show_plan,
    show_sample,
    show_summary,
)
from solo_bg.disk.pipes import OUTPUT_PIPES
from solo_bg.errors import ImageError, SetupError, is_fatal
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import launched_shard

if TYPE_CHECKING:
    from solo_bg.runs.plan import Plan

CONTINUE = 'run the same command with --resume to continue'


class Interrupted(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt, `except Exception` does not catch it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0 all images done, 1 some images failed, 2 nothing could start, 130 interrupted, 143 terminated.
    """
    command = parse(sys.argv[1:] if argv is None else argv)
    set_up_process()
    try:
        with sigterm_raises():
            if command.settings is None:
                assert command.merge
                return merge(command.merge)
            return run(command, command.settings)
    except SetupError as error:
        return fail(error)
    except ImageError as error:  # the manifest itself could not be written
        print(f'eliminate_bg: error: {error}', file=sys.stderr)
        return 1
    except RuntimeError as error:
        if not is_fatal(error):
            raise
        print(f'eliminate_bg: error: the device is lost ({in_one_line(str(error))}); {CONTINUE}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted) as stop:
        print(f'eliminate_bg: interrupted; {CONTINUE}', file=sys.stderr)
        return 130 if isinstance(stop, KeyboardInterrupt) else 143


def fail(error: SetupError) -> int:
    """Print why nothing could start. Returns the exit code."""
    print(f'eliminate_bg: error: {" ".join(str(error).split())}', file=sys.stderr)
    return 2


def set_up_process() -> None:
    """Make any file name printable, show the package's warnings, and hide warnings of libraries about bad images.

    OpenMP reads its variables when torch is imported, so this comes first. By default its idle threads spin for long;
    beside other busy processes they take the time of the threads that they wait for. docs/backends.md has figures.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ.setdefault('GOMP_SPINCOUNT', '100')  # of GNU's OpenMP, which torch uses on Linux
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # file names may contain any bytes
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')  # we report broken images ourselves
    warnings.filterwarnings('ignore', module='PIL')  # as above
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('eliminate_bg: warning: %(message)s'))
    logging.getLogger('solo_bg').handlers = [handler]


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, as Ctrl-C is one: running work ends, and the journal stays intact."""

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
    """Plan the run, execute it with a progress display, and report."""
    from solo_bg.runs.assemble import make_options
    from solo_bg.runs.merge import count_statuses
    from solo_bg.runs.plan import make_plan
    from solo_bg.runs.run import execute

    if str(settings.out) in OUTPUT_PIPES:
        return pipe(command, settings)
    plan = make_plan(replace(settings, limit=None) if command.sample else settings)
    if command.dry_run:
        show_plan(plan.images, make_options(settings))
        show_missing(plan, settings)
        return draw_sample(command, settings, plan) if command.sample else 0
    shard, tally = launched_shard() or settings.shard, Tally()
    total, silent = len(plan.inputs(shard)), command.quiet or shard.index > 0
    if settings.frames and any(image.is_video for image in plan.images):
        total = 0  # the number of frames is not known
    for record in progress(execute(settings, plan, None if silent else FrameLines()), total, silent):
        tally.add(record)
    if shard.launched and shard.index == 0:
        show_merged(count_statuses(settings.out), [])
    if not command.quiet and not shard.launched:
        show_summary(tally, settings.out)
        show_missing(plan, settings)
    show_failures(tally)
    return 1 if tally.failed and not shard.launched else 0  # at 1, torchrun would kill the other processes


def draw_sample(command: Command, settings: Settings, plan: Plan) -> int:
    """`--dry-run` with `--limit` and `--report`: write the report of a sample, and print what the run will take."""
    from solo_bg.runs import sample

    assert settings.limit
    expected, tally = sample.Expected(), Tally()
    records = sample.draw_sample(settings, plan, expected)
    for record in progress(records, min(settings.limit, len(plan.images)), command.quiet):
        tally.add(record)
    show_sample(expected, settings.out)
    show_failures(tally)
    return 1 if tally.failed else 0


def pipe(command: Command, settings: Settings) -> int:
    """`-o y4m:-` and `-o raw:-`: write one video to standard output, and everything else to standard error."""
    from solo_bg.runs.pipe import stream

    file = sys.stdout.buffer
    with redirect_stdout(sys.stderr):  # where libraries print while they load a model
        record = stream(settings, file)
    if record.note:
        print(f'eliminate_bg: warning: {record.input} {record.note}', file=sys.stderr)
    if not command.quiet:
        print(f'{record.frames} frames, {record.instances} instances', file=sys.stderr)
    return 0


def merge(out: Path) -> int:
    """`--merge`: make one run of the shards' results."""
    from solo_bg.runs.merge import merge as merge_shards
    from solo_bg.runs.outfolder import claim

    if not out.is_dir():
        raise SetupError(f'there is no folder {out}; expected the --out of the shards')
    with claim(out):
        statuses, unfinished = merge_shards(out)
    show_merged(statuses, unfinished)
    return 1 if unfinished or statuses['error'] or statuses['missing'] else 0
