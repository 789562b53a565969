"""Parse the command line into `Settings`. Imports nothing heavy, so that `--help` and errors appear at once."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from solo_bg import bundled
from solo_bg.cli.values import count, device, fill, fraction, frames, mix, names, percent, shard, take_pairs, whole
from solo_bg.disk.formats import CRF, FORMATS, MAX_PIXELS, SUFFIXES, VIDEO_SUFFIXES
from solo_bg.disk.pipes import is_pipe
from solo_bg.draw.fills import FILLS, FILLS_WITH_ARGUMENTS
from solo_bg.draw.refine import REFINERS
from solo_bg.draw.styles import STYLE_NAMES
from solo_bg.errors import SetupError
from solo_bg.runs.settings import Settings, format_name
from solo_bg.runs.shards import WHOLE
from solo_bg.sources import SOURCES, choose_source
from solo_bg.version import __version__

MODEL_SUFFIXES = ('.py', '.pth', '.pt', '.ckpt', '.safetensors', '.onnx')  # of configs and checkpoints
EXAMPLES = """\
examples:
  eliminate_bg                                            run the bundled model on the bundled images
  eliminate_bg photos/                                    run the bundled model on your images
  eliminate_bg clip.mp4                                   and on a video
  eliminate_bg solo_r50_fpn_1x_coco auto photos/          a model of mmdet's by name, its weights downloaded
  eliminate_bg CONFIG.py WEIGHTS.pth train2017/ --ann instances_train2017.json -o out
                                                          a COCO data set in, a data set out
"""


@dataclass(frozen=True)
class Command:
    """What to do: a run with `settings`, only its plan (`dry_run`), or a merge of the shards in the folder `merge`.

    With `sample`, a dry run processes a sample and writes the report of that.
    """

    settings: Settings | None = None
    merge: Path | None = None
    dry_run: bool = False
    sample: bool = False
    quiet: bool = False


def parse(argv: Sequence[str]) -> Command:
    """Parse options and inputs in any order. Exits with 2 at an error, as argparse does."""
    parser = build_parser()
    rest, cfg_options = take_pairs(argv, '--cfg-options', parser)
    rest, source_options = take_pairs(rest, '--source-options', parser)
    rest, refine_options = take_pairs(rest, '--refine-options', parser)
    args = parser.parse_intermixed_args(rest)
    if args.merge:
        if len(argv) > (1 if argv[0].startswith('--merge=') else 2):
            parser.error('--merge takes no other argument; every shard has its options in its run file')
        return Command(merge=args.merge)
    args.cfg_options = cfg_options
    args.source_options = dict(pair.split('=', 1) for pair in source_options)
    args.refine_options = dict(pair.split('=', 1) for pair in refine_options)
    sample = args.dry_run and args.limit is not None and args.report in ('full', 'light')
    args.report = args.report or 'full'
    try:
        args.config, args.checkpoint, args.inputs = split_paths(args.paths, args.source)
        known = {one.name for one in fields(Settings)}
        settings = Settings(**{name: value for name, value in vars(args).items() if name in known})
    except SetupError as error:
        parser.error(str(error))
    return Command(settings, dry_run=args.dry_run, sample=sample, quiet=args.quiet)


def split_paths(paths: Sequence[str], source: str | None) -> tuple[str, str, list[str]]:
    """CONFIG, CHECKPOINT and the inputs among the positional arguments.

    A source without a model takes inputs only. Inputs alone use the bundled model; without any, it runs on the demo.
    """
    _, kind = choose_source(source, paths[0] if paths else '')
    if not kind.needs_model:
        if not paths:
            raise SetupError(f'expected INPUT...: with --source {source} there is no CONFIG and no CHECKPOINT')
        refuse_model(paths, source)
        return '', '', list(paths)
    if not paths or is_input(paths[0]):
        inputs = list(paths) or [from_here(bundled.DEMO_IMAGES)]
        return from_here(bundled.CONFIG), from_here(bundled.CHECKPOINT), inputs
    if len(paths) < 3:
        raise SetupError(
            f'expected CONFIG CHECKPOINT INPUT..., got {" ".join(paths)}; to use the bundled model, give only images '
            'and folders that exist'
        )
    return paths[0], paths[1], list(paths[2:])


def is_input(path: str) -> bool:
    """Whether a path names inputs, and is no CONFIG: an image, a video or a folder that exists, @list.txt or a pipe."""
    is_file = os.path.splitext(path)[1].lower() in SUFFIXES | VIDEO_SUFFIXES and os.path.isfile(path)
    return path.startswith('@') or os.path.isdir(path) or is_file or is_pipe(path)


def from_here(path: Path) -> str:
    """The path, relative to the working folder if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def refuse_model(paths: Sequence[str], source: str | None) -> None:
    """Raise SetupError if a CONFIG or a CHECKPOINT is among the inputs of a source that takes no model."""
    by_name = list(paths[:2]) if len(paths) > 2 and paths[1] == 'auto' and not os.path.exists('auto') else []
    by_suffix = [path for path in paths if path.lower().endswith(MODEL_SUFFIXES) and not os.path.isdir(path)]
    if found := list(dict.fromkeys(by_name + by_suffix)):
        raise SetupError(
            f'--source {source} takes no CONFIG and no CHECKPOINT, only INPUT...; leave out {" ".join(found)}'
        )


class OneLineParser(argparse.ArgumentParser):
    """A parser whose error messages are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: error: {message} (--help lists the options)\n')


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog='eliminate_bg',
        allow_abbrev=False,  # '--cfg' for '--cfg-options' would pass by take_pairs
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s [options] [[CONFIG CHECKPOINT] INPUT...]',
        description=f'Set the background of images to zero, with the masks of a model such as SOLO.\n\n{EXAMPLES}',
        epilog='Exit code: 0 all images done, 1 some images failed, 2 nothing could start.',
    )
    parser.add_argument(
        'paths',
        nargs='*',
        metavar='CONFIG CHECKPOINT INPUT...',
        help="mmdet config (Python code: use only configs you trust) or a model's name; its weights, or `auto` "
        '(default: the bundled model); images, videos, folders, or @list.txt with one path a line',
    )
    add_choices(parser.add_argument_group('instances to keep').add_argument)
    add_outputs(parser.add_argument_group('results').add_argument)
    add_annotations(parser.add_argument_group('data sets with annotations').add_argument)
    add_progress(parser.add_argument_group('the run').add_argument)
    add_expert(parser.add_argument_group('expert options').add_argument)
    return parser


def add_choices(option: Callable[..., argparse.Action]) -> None:
    option('--score-thr', type=fraction, default=0.3, metavar='X', help='keep instances with score > X (default: 0.3)')
    option('--classes', type=names, metavar='A,B', help='keep only these classes (default: all)')
    option(
        '--source',
        metavar='NAME',
        help=f'source of the masks: {", ".join(SOURCES)}, or module:Class (default: the one that CONFIG names, else '
        'model). gt takes the annotations and needs no model; union takes both; kmeans, otsu, region-growing, grabcut '
        'and ncut need neither',
    )
    option('--source-options', metavar='K=V', help='options of the source: K=V [K=V ...]')


def add_outputs(option: Callable[..., argparse.Action]) -> None:
    outs = 'folder of the results, or y4m:- or raw:- for standard output (default: out)'
    option('-o', '--out', type=Path, default=Path('out'), metavar='DIR', help=outs)
    styles = f'pictures to write: {", ".join(STYLE_NAMES)} (default: eliminated,overlay)'
    option('--styles', type=names, default=['eliminated', 'overlay'], metavar='A,B', help=styles)
    formats = (
        'file format of the pictures: png, jpg or webp (default: png). JPEG leaves artefacts at mask edges; WebP is '
        'lossless. mask and labels are always PNG, cutout and instances are never JPEG'
    )
    option('--format', type=format_name, choices=FORMATS, metavar='F', default='png', help=formats)
    option('--quality', type=percent, default=95, metavar='N', help='JPEG quality, 1 to 100 (default: 95)')
    pictures = 'frames of a video to write as pictures: all, or every:N for every N-th frame (default: write videos)'
    option('--frames', type=frames, metavar='WHICH', help=pictures)
    steady = 'number of video frames over which masks are steadied; odd, such as 5 (default: 1, not steadied)'
    option('--smooth', type=count, default=1, metavar='N', help=steady)
    quality = f'quality of videos, 0 (lossless) to 51 (default: {CRF})'
    option('--crf', type=whole, default=CRF, metavar='N', help=quality)
    fills = f'fill of the background: {", ".join((*FILLS, *FILLS_WITH_ARGUMENTS))} (default: zero)'
    option('--fill', type=fill, metavar='F', help=fills)
    mixes = 'choose a fill at random for each image, by weight, for example zero:0.5,noise:0.5'
    option('--mix', type=mix, metavar='F:W,F:W', help=mixes)
    refinements = f'make soft edges: {", ".join(REFINERS)} (default: hard masks, or the alpha that the source gives)'
    option('--refine', choices=tuple(REFINERS), help=refinements)
    option('--refine-options', metavar='K=V', help='options of the refinement: K=V [K=V ...]')
    soft = 'fade eliminated into the background by alpha (default: cut at the edge of the masks; exactly 0 outside)'
    option('--soft', action='store_true', help=soft)
    option(
        '--dilate', type=whole, default=0, metavar='PX', help='keep a margin around the masks, in pixels (default: 0)'
    )
    no_instances = (
        'pictures of an image without instances: none (skip), black ones (black) or the image itself (copy) '
        '(default: skip)'
    )
    option('--on-empty', choices=('skip', 'black', 'copy'), default='skip', help=no_instances)
    by_area = 'order instances by mask area, smallest on top (default: by score)'
    option('--sort-by-density', action='store_true', help=by_area)
    seed = 'random seed, combined with the file name (default: 0)'
    option('--seed', type=whole, default=0, metavar='N', help=seed)


def add_annotations(option: Callable[..., argparse.Action]) -> None:
    option('--ann', type=Path, metavar='JSON', help='COCO annotations of the images; they are carried over to OUT')
    missed = (
        'treatment of annotated objects that the masks miss, wholly or in part: keep all their pixels, ignore them '
        '(iscrowd) or drop their annotations (default: keep)'
    )
    option('--missed', choices=('keep', 'ignore', 'drop'), help=missed)
    recalls = (
        'share of its pixels below which an object is missed (default: 1 for --missed keep, so that no annotated '
        'pixel turns black; 0.5 for ignore and drop)'
    )
    option('--min-recall', type=fraction, metavar='X', help=recalls)
    agreement = 'reject images whose masks have a lower IoU with the annotations (default: 0)'
    option('--min-iou', type=fraction, metavar='X', help=agreement)
    shapes = (
        'form of the predicted masks in annotations.json, without --ann: rle or polygon (default: rle). mmdet needs '
        'polygon with poly2mask=False; otherwise it reads both'
    )
    option('--segmentation', choices=('rle', 'polygon'), help=shapes)
    strict = 'report each image of the annotations that is not in INPUT as an error (default: count them)'
    option('--strict', action='store_true', help=strict)


def add_progress(option: Callable[..., argparse.Action]) -> None:
    option('--resume', action='store_true', help='continue an earlier run in OUT')
    option('--overwrite', action='store_true', help='delete what an earlier run wrote to OUT, and nothing else')
    reports = (
        'page about the results, OUT/report.html: with a thumbnail of each image (full), without (light) or none '
        '(default: full)'
    )
    option('--report', choices=('full', 'light', 'none'), help=reports)
    option('--limit', type=count, metavar='N', help='process only the first N images (default: all)')
    plans = (
        'list the results and estimate the disk space; write nothing. With --limit N --report full, process N images '
        'in a temporary folder, keep only their report, and estimate the whole run from them'
    )
    option('--dry-run', action='store_true', help=plans)
    option('--quiet', action='store_true', help='print errors only')
    devices = 'device of the model: auto, cpu, cuda or cuda:N (default: auto, which is CUDA where available)'
    option('--device', type=device, default='auto', metavar='D', help=devices)
    batches = (
        'number of images of one shape in a forward pass (default: 1 on the CPU, 8 on CUDA). With 1, equal inputs '
        'give equal bytes; larger batches round differently, and a few pixels at mask edges may differ'
    )
    option('--batch-size', type=count, metavar='N', help=batches)
    workers = 'number of threads that read and write images (default: one for each core)'
    option('--workers', type=count, default=os.cpu_count() or 1, metavar='N', help=workers)
    option('--version', action='version', version=f'solo_bg {__version__}', help='print the version and exit')


def add_expert(option: Callable[..., argparse.Action]) -> None:
    option('--cfg-options', metavar='K=V', help="override the config as mmdet's tools do: K=V [K=V ...]")
    precisions = (
        'precision of the model (default: auto, which is fp32 on the CPU and fp16 on CUDA). bf16 is faster on CPUs '
        'with fast bf16 (AMX, AVX512-BF16)'
    )
    option('--precision', choices=('auto', 'fp32', 'bf16', 'fp16'), default='auto', help=precisions)
    backends = (
        'library that computes the convolutions of SOLO, or a published foreground network, on the CPU: torch '
        '(onnxruntime for ONNX files), openvino, or auto, which is openvino for bf16 where it is installed and the CPU '
        'has bf16, else torch (default: auto)'
    )
    option('--backend', choices=('auto', 'torch', 'openvino'), default='auto', help=backends)
    tiles = (
        'segment overlapping tiles of SIZE x SIZE pixels as well as the whole image, and join the instances: finds '
        'small objects in large images. OVERLAP: a quarter of SIZE if left out (default: no tiles)'
    )
    option('--tiles', metavar='SIZE[:OVERLAP]', help=tiles)
    option('--stock-head', action='store_true', help="use mmdet's own SOLO head instead of this package's faster one")
    threads = "number of CPU threads for the model (default: torch's choice)"
    option('--threads', type=count, metavar='N', help=threads)
    trust = 'load a checkpoint that contains code, and run that code (default: refuse it)'
    option('--trust-checkpoint', action='store_true', help=trust)
    larger = f'reject images with more pixels; checked before decoding (default: {MAX_PIXELS})'
    option('--max-pixels', type=count, default=MAX_PIXELS, metavar='N', help=larger)
    option(
        '--shard',
        type=shard,
        default=WHOLE,
        metavar='I/N',
        help='process only part I of N; parts count from 0 (default: all)',
    )
    option('--merge', type=Path, metavar='OUT', help='merge the results of all shards in OUT; no other argument')
    engines = 'place to process images: local, or ray with one model in each actor (default: local)'
    option('--engine', choices=('local', 'ray'), default='local', help=engines)
    address = 'address of the Ray cluster: auto or HOST:PORT (default: start a cluster on this machine)'
    option('--ray-address', metavar='A', help=address)
