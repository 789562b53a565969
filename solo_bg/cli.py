"""The terminal: arguments -> objects -> pipeline. The only print, progress bar and exit code.

Torch and mmdet are imported when the work starts, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import solo_bg
from solo_bg.errors import SetupError
from solo_bg.styles import STYLES

if TYPE_CHECKING:
    from solo_bg.files import ImageFile
    from solo_bg.journal import Record
    from solo_bg.pipeline import Options
    from solo_bg.sources import Detector

CLONE = Path(__file__).resolve().parent.parent
DEMO = ('configs/solo_bg_tiny.py', 'checkpoints/solo_bg_tiny.pth', 'demo/images')
CFG_OPTION = re.compile(r'[A-Za-z_][\w.]*=')
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
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')  # a broken image is reported once, by us
    warnings.filterwarnings('ignore', message='Corrupt EXIF data')
    try:
        return run(args)
    except SetupError as error:
        print(f'eliminate_bg: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('eliminate_bg: interrupted; the manifest lists what was done', file=sys.stderr)
        return 130


# ---- arguments


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options and inputs in any order. Mistakes exit with 2, as argparse does."""
    parser = build_parser()
    rest, cfg_options = take_cfg_options(argv, parser)
    args = parser.parse_intermixed_args(rest)
    args.cfg_options = cfg_options
    if not args.paths:
        args.paths = [os.path.relpath(CLONE / part) for part in DEMO]
        if not all(map(os.path.exists, args.paths)):
            parser.error('the bundled demo comes with a clone of the repository; here, give CONFIG CHECKPOINT INPUT...')
    if len(args.paths) < 3:
        parser.error(f'expected CONFIG CHECKPOINT INPUT..., got {" ".join(args.paths)}; without any, the demo runs')
    args.config, args.checkpoint, *args.inputs = args.paths
    unknown = [style for style in args.styles if style not in STYLES]
    if unknown or not args.styles:
        parser.error(f'no style named {", ".join(unknown) or "(none given)"}; the styles are {", ".join(STYLES)}')
    return args


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='eliminate_bg',
        description='Find the instances in images with an mmdet model such as SOLO, and set everything else to zero.',
        epilog='Without CONFIG, CHECKPOINT and INPUT the bundled demo runs. '
        'Exit code: 0 all done, 1 some inputs failed, 2 nothing could start.',
    )
    parser.add_argument(
        'paths',
        nargs='*',
        metavar='CONFIG CHECKPOINT INPUT...',
        help='an mmdet config (it is code: use only those you trust), its weights, image files, folders or @list.txt',
    )
    add_choices(parser.add_argument_group('what is kept').add_argument)
    add_outputs(parser.add_argument_group('what is written').add_argument)
    add_running(parser.add_argument_group('how it runs').add_argument)
    return parser


def add_choices(option: Callable[..., argparse.Action]) -> None:
    option('--score-thr', type=fraction, default=0.3, metavar='X', help='keep instances with score > X (0.3)')
    option('--classes', type=names, metavar='A,B', help='keep only these classes')
    option('--sort-by-density', action='store_true', help='order by mask area, smallest first, which puts it on top')
    no_instances = 'an image without instances: no pictures, pictures of nothing, or the image itself (skip)'
    option('--on-empty', choices=('skip', 'black', 'copy'), default='skip', help=no_instances)


def add_outputs(option: Callable[..., argparse.Action]) -> None:
    option('-o', '--out', type=Path, default=Path('out'), metavar='DIR', help='where results go (out)')
    styles = f'which pictures (eliminated,overlay); of {", ".join(STYLES)}'
    option('--styles', type=names, default=['eliminated', 'overlay'], metavar='A,B', help=styles)
    formats = (
        'of the pictures (png). A JPEG blurs the zeros at an edge, a fringe to be learnt; WebP is lossless. '
        'mask and labels are always PNG, cutout never JPEG'
    )
    option('--format', choices=('png', 'jpg', 'webp'), default='png', help=formats)
    option('--quality', type=percent, default=95, metavar='N', help='of a JPEG, 1 to 100 (95)')


def add_running(option: Callable[..., argparse.Action]) -> None:
    option('--device', default='auto', metavar='D', help='auto, cpu, cuda or cuda:N (auto: CUDA where there is one)')
    option('--batch-size', type=count, metavar='N', help='images per forward pass (1 on CPU, 8 on CUDA)')
    cores = os.cpu_count() or 1
    option('--workers', type=count, default=cores, metavar='N', help='reading and writing threads (one a core)')
    option('--cfg-options', metavar='K=V', help="override the config, mmdet's way: K=V [K=V ...]")
    option('--limit', type=count, metavar='N', help='only the first N images')
    option('--dry-run', action='store_true', help='show the plan and an estimate of the disk space, do nothing')
    option('--quiet', action='store_true', help='print errors only')
    option('--version', action='version', version=f'solo_bg {solo_bg.__version__}')


def take_cfg_options(argv: Sequence[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Split off `--cfg-options K=V ...`, which ends at the first word that is no K=V, so that inputs may follow."""
    rest: list[str] = []
    found: list[str] = []
    words = iter(argv)
    taking = False
    for word in words:
        if word == '--':
            return [*rest, word, *words], found
        if word.startswith('--cfg-options'):
            taking, word = True, word.removeprefix('--cfg-options').removeprefix('=')
            if not word:
                continue
        if taking and CFG_OPTION.match(word):
            found.append(word)
        elif taking and not found:
            parser.error(f'--cfg-options expected K=V, got {word}')
        else:
            taking = False
            rest.append(word)
    if taking and not found:
        parser.error('--cfg-options expected K=V, got nothing')
    return rest, found


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, got {text}')
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number of at least 1, got {text}')
    return value


def percent(text: str) -> int:
    value = count(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 to 100, got {text}')
    return value


def names(text: str) -> list[str]:
    return [part.strip() for part in text.split(',') if part.strip()]


# ---- the run


def run(args: argparse.Namespace) -> int:
    """List, open the model, send every image down the line, report."""
    from solo_bg.files import list_images

    images = list_images(args.inputs)[: args.limit]
    if not any(image.path.exists() for image in images):
        raise SetupError(f'no images in {", ".join(args.inputs)}; expected image files, folders of them, or @list.txt')
    if args.dry_run:
        return show_plan(images, make_options(args))

    source = open_model(args)
    options = make_options(args, on_cuda=source.segmenter.device.type == 'cuda')
    from solo_bg import journal, pipeline

    records: list[Record] = []
    try:
        for record in progress(pipeline.run(images, source, options), len(images), args.quiet):
            records.append(record)
    finally:
        journal.write_manifest(args.out, records)
    if not args.quiet:
        show_summary(records, args.out)
    return report_failures(records)


def open_model(args: argparse.Namespace) -> Detector:
    """The model that CONFIG and CHECKPOINT name, and a check that it knows the chosen classes."""
    from mmengine.config import DictAction

    from solo_bg.segmenter import Segmenter
    from solo_bg.sources import Detector

    values = argparse.ArgumentParser()
    values.add_argument('--cfg-options', nargs='*', action=DictAction, default={})
    cfg_options = values.parse_args(['--cfg-options', *args.cfg_options]).cfg_options
    source = Detector(Segmenter(args.config, args.checkpoint, args.device, cfg_options))
    if unknown := [name for name in args.classes or () if name not in source.class_names]:
        raise SetupError(f'no class named {", ".join(unknown)}; the classes are {", ".join(source.class_names)}')
    return source


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
    from solo_bg.files import image_size, output_names

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
    table = Table('done', 'empty', 'failed', 'instances', 'written to')
    instances = sum(record.instances for record in records)
    table.add_row(*map(str, (counted['ok'], counted['empty'], counted['error'], instances, out)))
    Console().print(table)


def report_failures(records: Sequence[Record]) -> int:
    """Name the first few failures; the exit code."""
    failed = [record for record in records if record.status == 'error']
    for record in failed[:REASONS_SHOWN]:
        print(f'eliminate_bg: {record.input}: {record.error}', file=sys.stderr)
    if len(failed) > REASONS_SHOWN:
        print(f'eliminate_bg: and {len(failed) - REASONS_SHOWN} more; the manifest has all', file=sys.stderr)
    return 1 if failed else 0
