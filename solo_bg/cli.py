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
    from solo_bg.inputs import ImageFile
    from solo_bg.journal import Record
    from solo_bg.pipeline import Options
    from solo_bg.sources import Detector

REASONS_SHOWN = 5
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
    warnings.filterwarnings('ignore', module='PIL.TiffImagePlugin')  # so are a TIFF's damaged tags, if they matter
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
    from solo_bg import files, inputs, journal

    images = inputs.list_images(args.inputs, skip=[os.path.abspath(args.out / style) for style in STYLES])
    if not any(os.path.lexists(image.path) for image in images):
        raise SetupError(f'no images in {", ".join(args.inputs)}; expected image files, folders of them, or @list.txt')
    images = images[: args.limit]
    plan = make_options(args)
    refuse_overwriting(images, plan)
    if args.dry_run:
        return show_plan(images, plan)

    files.make_folder(args.out)
    source = open_model(args)
    options = make_options(args, on_cuda=source.segmenter.device.type == 'cuda')
    from solo_bg import pipeline

    journal.write_run(args.out, describe_run(source, options))
    records: list[Record] = []
    try:
        for record in progress(pipeline.run(images, source, options), len(images), args.quiet):
            records.append(record)
    finally:
        journal.write_manifest(args.out, records)
    if not args.quiet:
        show_summary(records, args.out)
    return report_failures(records)


def refuse_overwriting(images: Sequence[ImageFile], options: Options) -> None:
    """Raise SetupError if a result would take the place of an input."""
    from solo_bg.inputs import output_names

    out = os.path.join(os.path.realpath(options.out), '')
    given = {path for image in images if (path := os.path.realpath(image.path)).startswith(out)}
    if not given:
        return
    for image, name in zip(images, output_names(images), strict=True):
        for style in options.styles:
            if os.path.realpath(options.out / options.output(style, name)) in given:
                raise SetupError(f'the {style} picture of {image.shown} would replace an input; choose another --out')


def open_model(args: argparse.Namespace) -> Detector:
    """The model that CONFIG and CHECKPOINT name, and a check that it knows the chosen classes."""
    from mmengine.config import DictAction

    from solo_bg.segmenter import Segmenter
    from solo_bg.sources import Detector

    values = argparse.ArgumentParser()
    values.add_argument('--cfg-options', nargs='*', action=DictAction, default={})
    try:
        cfg_options = values.parse_args(['--cfg-options', *args.cfg_options]).cfg_options
    except (AssertionError, ValueError) as error:
        raise SetupError(f'--cfg-options {" ".join(args.cfg_options)} cannot be read: {error}') from error
    segmenter = Segmenter(
        args.config, args.checkpoint, args.device, cfg_options, precision=args.precision, lazy=not args.stock_head
    )
    source = Detector(segmenter)
    if unknown := [name for name in args.classes or () if name not in source.class_names]:
        raise SetupError(f'no class named {", ".join(unknown)}; the classes are {", ".join(source.class_names)}')
    return source


def describe_run(source: Detector, options: Options) -> dict[str, Any]:
    """What `run.json` says. Another number of threads or images per forward pass may round differently."""
    import mmdet
    import torch

    versions = {'solo_bg': solo_bg.__version__, 'torch': torch.__version__, 'mmdet': mmdet.__version__}
    segmenter = source.segmenter
    model = {'device': str(segmenter.device), 'precision': segmenter.precision, 'lazy': segmenter.lazy}
    model |= {'threads': torch.get_num_threads(), 'batch_size': options.batch_size}
    return {'command': sys.argv, 'versions': versions, 'model': model, 'workers': options.workers}


def make_options(args: argparse.Namespace, on_cuda: bool = False) -> Options:
    from solo_bg.pipeline import Options

    return Options(
        out=args.out,
        styles=args.styles,
        score_thr=args.score_thr,
        classes=args.classes,
        sort_by_density=args.sort_by_density,
        on_empty=args.on_empty,
        batch_size=args.batch_size or (8 if on_cuda else 1),
        workers=args.workers,
        format=args.format,
        quality=args.quality,
    )


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
    """How many are done, empty and failed, and where the pictures are."""
    from rich.console import Console
    from rich.table import Table

    counted = Counter(record.status for record in records)
    table = Table('done', 'empty', 'failed', 'instances')
    instances = sum(record.instances for record in records)
    table.add_row(*map(str, (counted['ok'], counted['empty'], counted['error'], instances)))
    Console().print(table)
    print(f'results in {out}')


def report_failures(records: Sequence[Record]) -> int:
    """Name the first few failures; the exit code."""
    failed = [record for record in records if record.status == 'error']
    for record in failed[:REASONS_SHOWN]:
        print(f'eliminate_bg: {record.input}: {record.error}', file=sys.stderr)
    if len(failed) > REASONS_SHOWN:
        print(f'eliminate_bg: and {len(failed) - REASONS_SHOWN} more; the manifest has all', file=sys.stderr)
    return 1 if failed else 0
