"""The terminal: arguments -> objects -> pipeline. The only print, progress bar and exit code.

Torch and mmdet are imported when the work starts, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import solo_bg
from solo_bg.arguments import parse
from solo_bg.errors import ImageError, SetupError
from solo_bg.styles import STYLES

if TYPE_CHECKING:
    from solo_bg.coco import Annotations, Matches
    from solo_bg.inputs import ImageFile
    from solo_bg.journal import Record
    from solo_bg.pipeline import Options
    from solo_bg.segmenter import Segmenter

REASONS_SHOWN = 5
ALWAYS_SHOWN = ('done', 'empty', 'failed')  # in the summary, be there any or not
BYTES_A_PIXEL = {  # tools/benchmark.py disk, on 100 photographs of COCO, a third of whose pixels are foreground
    'eliminated': {'.png': 0.72, '.jpg': 0.22, '.webp': 0.52},
    'overlay': {'.png': 0.61, '.jpg': 0.18, '.webp': 0.43},
    'mask': {'.png': 0.01},
    'labels': {'.png': 0.02},
    'cutout': {'.png': 2.24, '.webp': 1.42},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 all done, 1 some inputs failed, 2 nothing could start, 130 interrupted."""
    args = parse(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')  # a broken image is reported by us
    warnings.filterwarnings('ignore', module='PIL')  # so are damaged tags, if they matter
    try:
        return run(args)
    except SetupError as error:
        print(f'eliminate_bg: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except ImageError as error:  # the manifest itself could not be written
        print(f'eliminate_bg: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('eliminate_bg: interrupted; the manifest lists what was done', file=sys.stderr)
        return 130


def run(args: argparse.Namespace) -> int:
    """List, open the model, send every image down the line, report."""
    from solo_bg import assemble, files, inputs, journal

    images = inputs.list_images(args.inputs, skip=[os.path.abspath(args.out / style) for style in STYLES])
    if not any(os.path.lexists(image.path) for image in images):
        raise SetupError(f'no images in {", ".join(args.inputs)}; expected image files, folders of them, or @list.txt')
    annotations = assemble.open_annotations(args.ann) if args.ann else None
    images, matches, records = match(images, annotations)
    images = images[: args.limit]
    if not images:
        raise SetupError(f'none of the images in {", ".join(args.inputs)} is in {args.ann}')
    plan = assemble.make_options(args)
    refuse_overwriting(images, plan, args.ann)
    if args.dry_run:
        return show_plan(images, plan)

    files.make_folder(args.out)
    segmenter = None if args.source == 'gt' else assemble.open_model(args)
    source = assemble.make_source(args, segmenter, annotations)
    fill = assemble.make_fill(args, images)
    options = assemble.make_options(args, fill, on_cuda=segmenter is not None and segmenter.device.type == 'cuda')
    from solo_bg import pipeline
    from solo_bg.annotations import pseudo_labels
    from solo_bg.coco import Labels

    labels = Labels(annotations, matches.found) if annotations and matches else None
    journal.write_run(args.out, describe_run(segmenter, options))
    try:
        for record in progress(pipeline.run(images, source, options, labels), len(images), args.quiet):
            records.append(record)
    finally:
        journal.write_manifest(args.out, records)
        carried = [record.carried for record in sorted(records, key=lambda one: one.input) if record.carried]
        if 'eliminated' in options.styles:
            coco = annotations.carry(carried) if annotations else pseudo_labels(carried, source.class_names)
            journal.write_annotations(args.out, coco)
    if not args.quiet:
        show_summary(records, args.out)
    return report_failures(records)


def match(
    images: list[ImageFile], annotations: Annotations | None
) -> tuple[list[ImageFile], Matches | None, list[Record]]:
    """The images to do, which annotations are theirs, and what to say of images and annotations that do not meet.

    What is no file is left among the images: reading it reports it.
    """
    from solo_bg.journal import Record

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


def refuse_overwriting(images: Sequence[ImageFile], options: Options, ann: Path | None) -> None:
    """Raise SetupError if a result would take the place of an input."""
    from solo_bg.inputs import output_names
    from solo_bg.journal import ANNOTATIONS

    if ann and os.path.realpath(ann) == os.path.realpath(options.out / ANNOTATIONS):
        raise SetupError(f'the annotations of the results would replace {ann}; choose another --out')
    out = os.path.join(os.path.realpath(options.out), '')
    given = {path for image in images if (path := os.path.realpath(image.path)).startswith(out)}
    if not given:
        return
    for image, name in zip(images, output_names(images), strict=True):
        for style in options.styles:
            if os.path.realpath(options.out / options.output(style, name)) in given:
                raise SetupError(f'the {style} picture of {image.shown} would replace an input; choose another --out')


def describe_run(segmenter: Segmenter | None, options: Options) -> dict[str, Any]:
    """What `run.json` says. Another number of threads or images per forward pass may round differently."""
    import mmdet
    import torch

    versions = {'solo_bg': solo_bg.__version__, 'torch': torch.__version__, 'mmdet': mmdet.__version__}
    model = None
    if segmenter:
        model = {'device': str(segmenter.device), 'precision': segmenter.precision, 'lazy': segmenter.lazy}
        model |= {'threads': torch.get_num_threads(), 'batch_size': options.batch_size}
    return {'command': sys.argv, 'versions': versions, 'model': model, 'workers': options.workers}


def show_plan(images: Sequence[ImageFile], options: Options) -> int:
    """`--dry-run`: what would be written where, and about how large."""
    from solo_bg.files import image_size
    from solo_bg.inputs import output_names

    for image, name in list(zip(images, output_names(images), strict=True))[:10]:
        print(f'{image.shown} -> {", ".join(options.output(style, name) for style in options.styles)}')
    if len(images) > 10:
        print(f'... and {len(images) - 10} more')
    sizes = [image_size(image.path) for image in images]
    pixels = sum(width * height for width, height in filter(None, sizes))
    estimate = sum(pixels * BYTES_A_PIXEL[style][Path(options.output(style, 'x')).suffix] for style in options.styles)
    print(f'{len(images)} images ({sizes.count(None)} unreadable), {pixels / 1e6:.1f} million pixels')
    print(f'about {estimate / 1e6:.1f} MB in {options.out}, if a third of each image is foreground')
    return 0


def progress(records: Iterable[Record], total: int, quiet: bool) -> Iterator[Record]:
    """Pass the records on; meanwhile a bar with images/s on a terminal, a line now and then elsewhere."""
    if quiet:
        yield from records
    elif sys.stderr.isatty():
        yield from show_bar(records, total)
    else:
        yield from show_lines(records, total)


def show_bar(records: Iterable[Record], total: int) -> Iterator[Record]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn('{task.fields[rate]:.1f} images/s')
    columns = BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task, start = bar.add_task('', total=total, rate=0.0), time.perf_counter()
        for number, record in enumerate(records, 1):
            bar.update(task, completed=number, rate=number / (time.perf_counter() - start))
            yield record


def show_lines(records: Iterable[Record], total: int, every: float = 10.0) -> Iterator[Record]:
    start = shown = time.perf_counter()
    for number, record in enumerate(records, 1):
        now = time.perf_counter()
        if now - shown > every or number == total:
            shown = now
            print(f'{number}/{total} images, {number / (now - start):.1f} images/s', file=sys.stderr, flush=True)
        yield record


def show_summary(records: Sequence[Record], out: Path) -> None:
    """How many are done, empty and failed, what was decided about annotations, and where the pictures are."""
    from rich.console import Console
    from rich.table import Table

    counted = Counter(record.status for record in records)
    columns = {'done': 'ok', 'empty': 'empty', 'rejected': 'rejected', 'unlabelled': 'unlabelled', 'missing': 'missing'}
    columns['failed'] = 'error'
    shown = {title: counted[status] for title, status in columns.items() if counted[status] or title in ALWAYS_SHOWN}
    decided: Counter[str] = Counter()
    for record in [record for record in records if record.outputs]:
        decided.update({rule: len(ids) for rule, ids in record.decisions.items()})
    shown |= {'instances': sum(record.instances for record in records if record.outputs)}
    shown |= {f'annotations: {rule}': count for rule, count in decided.items()}
    table = Table(*shown)
    table.add_row(*map(str, shown.values()))
    Console().print(table)
    print(f'results in {out}')


def report_failures(records: Sequence[Record]) -> int:
    """Name the first few failures; the exit code."""
    reasons = [f'{record.input}: {record.error}' for record in records if record.error]
    for reason in reasons[:REASONS_SHOWN]:
        print(f'eliminate_bg: {reason}', file=sys.stderr)
    if len(reasons) > REASONS_SHOWN:
        print(f'eliminate_bg: and {len(reasons) - REASONS_SHOWN} more; the manifest has all', file=sys.stderr)
    return 1 if reasons else 0
