"""The terminal: arguments -> objects -> pipeline. The only exit code; `report.py` prints.

Torch and mmdet are imported when the work starts, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from solo_bg.cli.arguments import parse
from solo_bg.cli.report import Tally, progress, show_failures, show_merged, show_plan, show_summary
from solo_bg.draw.styles import STYLES
from solo_bg.errors import ImageError, SetupError
from solo_bg.runs.shards import Shard, launched_shard

if TYPE_CHECKING:
    from solo_bg.coco.dataset import Annotations, Labels, Matches
    from solo_bg.disk.inputs import ImageFile
    from solo_bg.pipeline import Options
    from solo_bg.runs.journal import Journal, Record


class Interrupted(BaseException):
    """SIGTERM came. As KeyboardInterrupt, no `except Exception` stops it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0 all done, 1 some inputs failed, 2 nothing could start, 130 interrupted, 143 terminated.
    """
    args = parse(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # names of files are any bytes
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')  # a broken image is reported by us
    warnings.filterwarnings('ignore', module='PIL')  # so are damaged tags, if they matter
    try:
        with sigterm_raises():
            return merge(args.merge) if args.merge else run(args)
    except SetupError as error:
        print(f'eliminate_bg: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except ImageError as error:  # the manifest itself could not be written
        print(f'eliminate_bg: error: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted) as stop:
        print('eliminate_bg: interrupted; the same command with --resume goes on from here', file=sys.stderr)
        return 130 if isinstance(stop, KeyboardInterrupt) else 143


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM as an exception, as Ctrl-C is: images in flight end, and the journal is whole."""

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


@dataclass(frozen=True)
class Work:
    """What is to be done: images, the names of their results, what is annotated, and what has no partner there."""

    images: Sequence[ImageFile]
    names: Sequence[str]
    annotations: Annotations | None
    labels: Labels | None
    unmatched: Sequence[Record]


def run(args: argparse.Namespace) -> int:
    """List, open the model, send every image down the line, report."""
    from solo_bg.cli import assemble
    from solo_bg.runs import manifest, outfolder

    launched = launched_shard()
    if launched and args.shard.count > 1:
        raise SetupError('torchrun and --shard exclude each other: torchrun makes the shards itself')
    shard = launched or args.shard
    work = find_work(args)
    plan = assemble.make_options(args)
    refuse_overwriting(work, plan, args.ann)
    if args.dry_run:
        return show_plan(work.images, plan)
    if shard.launched and args.engine == 'ray':
        raise SetupError('torchrun and --engine ray exclude each other: Ray starts the processes itself')
    with outfolder.claim(args.out, shared=shard.count > 1) as locked:
        if not locked:
            print(f'eliminate_bg: warning: {args.out} cannot be locked; let no other run write to it', file=sys.stderr)
        if not shard.launched or shard.index == 0:
            outfolder.make_ready(args.out, shard, args.resume, args.overwrite, locked and shard.alone)
        tally = eliminate(args, work, shard)
        shard.wait()
        if shard.launched and shard.index == 0:
            show_merged(*manifest.merge(args.out))
    if not args.quiet and not shard.launched:
        show_summary(tally, args.out)
    show_failures(tally)
    return 1 if tally.failed and not shard.launched else 0  # torchrun would kill the neighbours


def find_work(args: argparse.Namespace) -> Work:
    from solo_bg.cli import assemble
    from solo_bg.coco.dataset import Labels
    from solo_bg.disk import inputs

    images = inputs.list_images(args.inputs, skip=[os.path.abspath(args.out / style) for style in STYLES])
    if not any(os.path.lexists(image.path) for image in images):
        raise SetupError(f'no images in {", ".join(args.inputs)}; expected image files, folders of them, or @list.txt')
    annotations = assemble.open_annotations(args.ann) if args.ann else None
    images, matches, unmatched = match(images, annotations)
    images = images[: args.limit]
    if not images:
        raise SetupError(f'none of the images in {", ".join(args.inputs)} is in {args.ann}')
    labels = Labels(annotations, matches.found) if annotations and matches else None
    return Work(images, inputs.output_names(images), annotations, labels, unmatched)


def eliminate(args: argparse.Namespace, work: Work, shard: Shard) -> Tally:
    """This shard's images, each into the journal as it is done; a run of one shard ends with the sorted manifest."""
    from solo_bg import pipeline
    from solo_bg.cli import assemble
    from solo_bg.runs import manifest, outfolder, provenance
    from solo_bg.runs.journal import Journal

    assemble.set_threads(args.threads, shard)
    segmenter = None if args.source == 'gt' else assemble.open_model(args)
    source = assemble.make_source(args, segmenter, work.annotations)
    fill = assemble.make_fill(args, work.images)
    options = assemble.make_options(args, fill, on_cuda=segmenter is not None and segmenter.device.type == 'cuda')
    dataset = assemble.describe_dataset(options, work.annotations, source)
    facts = provenance.describe(args, segmenter, options) | {'shards': shard.count}
    before = manifest.read_runs(args.out)
    for change in provenance.what_changed(before, facts):
        print(f'eliminate_bg: warning: {change}; masks may differ by a few pixels', file=sys.stderr)
    if shard.launched and shard.index > 0:
        shard.wait()  # the first one prepares the journals
    tally, journal = Tally(), Journal(args.out, facts['key'], shard)
    if not shard.launched or shard.index == 0:
        given = {image.shown for image in work.images} | {record.input for record in work.unmatched}
        outputs = (options.output(style, name) for style in options.styles for name in work.names)
        outfolder.settle(journal, given, outputs, all(run['key'] == facts['key'] for run in before), shard)
    if shard.launched and shard.index == 0:
        shard.wait()
    for record in work.unmatched:
        if shard.owns(record.input):
            journal.add(record)
            tally.add(record)
    if shard.count > 1:  # for the merge
        facts['dataset'] = dataset
    manifest.write_run(args.out, facts, shard)
    mine = [(image, name) for image, name in zip(work.images, work.names, strict=True) if shard.owns(image.shown)]
    images, names = [image for image, _ in mine], [name for _, name in mine]
    if args.engine == 'ray':
        records = start_ray(args, work, journal)
    else:
        records = pipeline.run(images, source, options, work.labels, names, journal)
    for record in progress(records, len(images), args.quiet or shard.index > 0):
        journal.add(record)
        tally.add(record)
    journal.close()
    if shard.count == 1:
        manifest.finish(args.out, 1, dataset)
    manifest.write_run(args.out, facts | {'end': provenance.now()}, shard)
    return tally


def start_ray(args: argparse.Namespace, work: Work, journal: Journal) -> Iterator[Record]:
    try:
        from solo_bg.runs import ray_engine
    except ImportError as error:
        raise SetupError(f'--engine ray needs Ray ({error}); pip install "solo_bg[ray]"') from error
    return ray_engine.run(args, work, journal)


def merge(out: Path) -> int:
    """`--merge`: what the shards left, as one run leaves it."""
    from solo_bg.runs import manifest, outfolder

    with outfolder.claim(out):
        statuses, unfinished = manifest.merge(out)
    show_merged(statuses, unfinished)
    return 1 if unfinished or statuses['error'] or statuses['missing'] else 0


def match(
    images: list[ImageFile], annotations: Annotations | None
) -> tuple[list[ImageFile], Matches | None, list[Record]]:
    """The images to do, which annotations are theirs, and what to say of images and annotations that do not meet.

    What is no file is left among the images: reading it reports it.
    """
    from solo_bg.runs.journal import Record

    if not annotations:
        return images, None, []
    matches = annotations.match({image.shown: image.below.as_posix() for image in images})
    unknown, ambiguous = set(matches.unknown), set(matches.ambiguous)
    unlabelled = {image.shown for image in images if image.shown in unknown and os.path.isfile(image.path)}
    records = [Record(shown, 'unlabelled') for shown in sorted(unlabelled)]
    several = 'shares its path below INPUT with another image, and there is one such path in the annotations'
    records += [Record(shown, 'error', error=several) for shown in sorted(ambiguous)]
    absent = 'is in the annotations, but there is no such image'
    records += [Record(name, 'missing', error=absent) for name in matches.missing]
    return [image for image in images if image.shown not in unlabelled | ambiguous], matches, records


def refuse_overwriting(work: Work, options: Options, ann: Path | None) -> None:
    """Raise SetupError if a result would take the place of an input."""
    from solo_bg.runs.journal import ANNOTATIONS

    if ann and os.path.realpath(ann) == os.path.realpath(options.out / ANNOTATIONS):
        raise SetupError(f'the annotations of the results would replace {ann}; choose another --out')
    out = os.path.join(os.path.realpath(options.out), '')
    given = {path for image in work.images if (path := os.path.realpath(image.path)).startswith(out)}
    if not given:
        return
    for image, name in zip(work.images, work.names, strict=True):
        for style in options.styles:
            if os.path.realpath(options.out / options.output(style, name)) in given:
                raise SetupError(f'the {style} picture of {image.shown} would replace an input; choose another --out')
