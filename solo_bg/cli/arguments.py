"""What the command line means: words -> options. Imports nothing heavy, so that mistakes are answered at once."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import solo_bg
from solo_bg.disk.inputs import FORMATS, MAX_PIXELS
from solo_bg.draw.fills import COLOUR, FILLS, GIVEN
from solo_bg.draw.styles import STYLES
from solo_bg.runs.shards import WHOLE, Shard
from solo_bg.sources.base import SOURCES

CLONE = Path(__file__).resolve().parents[2]
DEMO = ('configs/solo_bg_tiny.py', 'checkpoints/solo_bg_tiny.pth', 'demo/images')
PART = re.compile(r'(.+?):(\d*\.?\d+)(?:,|$)')  # of a mix: a fill and its weight
CFG_OPTION = re.compile(r'[A-Za-z_][\w.]*=')


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options and inputs in any order. Mistakes exit with 2, as argparse does."""
    parser = build_parser()
    rest, cfg_options = take_cfg_options(argv, parser)
    args = parser.parse_intermixed_args(rest)
    args.cfg_options = cfg_options
    if args.merge:
        return args
    if args.source == 'gt':
        args.paths = ['', '', *args.paths]  # no model: every positional argument is an input
    elif not args.paths:
        args.paths = [os.path.relpath(CLONE / part) for part in DEMO]
        if not all(map(os.path.exists, args.paths)):
            parser.error('the bundled demo comes with a clone of the repository; here, give CONFIG CHECKPOINT INPUT...')
    if len(args.paths) < 3 and args.source == 'gt':
        parser.error('expected INPUT...: with --source gt there is no CONFIG and no CHECKPOINT')
    if len(args.paths) < 3:
        parser.error(f'expected CONFIG CHECKPOINT INPUT..., got {" ".join(args.paths)}; without any, the demo runs')
    args.config, args.checkpoint, *args.inputs = args.paths
    if unknown := [style for style in args.styles if style not in STYLES]:
        parser.error(f'no style named {", ".join(unknown)}; the styles are {", ".join(STYLES)}')
    check_annotated(args, parser)
    if args.shard.count > 1 and args.engine == 'ray':
        parser.error('--shard and --engine ray exclude each other: Ray makes the parts itself')
    if args.ray_address and args.engine != 'ray':
        parser.error('--ray-address needs --engine ray')
    if args.resume and args.overwrite:
        parser.error('--resume and --overwrite exclude each other')
    if args.shard.count > 1 and args.overwrite:
        parser.error('--overwrite would delete what other shards write; delete the results once, then start the shards')
    return args


def check_annotated(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """What only makes sense together."""
    if args.fill and args.mix:
        parser.error('--fill and --mix exclude each other: --mix is which fills, and how often')
    wants = {'--source': args.source != 'model', '--missed': args.missed, '--min-recall': args.min_recall is not None}
    wants['--min-iou'] = args.min_iou is not None
    if not args.ann and (unserved := [name for name, given in wants.items() if given]):
        parser.error(f'{", ".join(unserved)} needs --ann, the annotations of the images')


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: error: {message} (--help lists the options)\n')


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog='eliminate_bg',
        allow_abbrev=False,  # '--cfg' for '--cfg-options' would pass by take_cfg_options
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
    add_annotated(parser.add_argument_group('with annotations').add_argument)
    add_outputs(parser.add_argument_group('what is written').add_argument)
    add_running(parser.add_argument_group('how it runs').add_argument)
    return parser


def add_choices(option: Callable[..., argparse.Action]) -> None:
    option('--score-thr', type=fraction, default=0.3, metavar='X', help='keep instances with score > X (0.3)')
    option('--classes', type=names, metavar='A,B', help='keep only these classes')
    option('--sort-by-density', action='store_true', help='order by mask area, smallest first, which puts it on top')
    no_instances = 'an image without instances: no pictures, pictures of nothing, or the image itself (skip)'
    option('--on-empty', choices=('skip', 'black', 'copy'), default='skip', help=no_instances)


def add_annotated(option: Callable[..., argparse.Action]) -> None:
    option('--ann', type=Path, metavar='JSON', help='COCO annotations of the images, carried over to OUT')
    sources = 'what is foreground: what the model finds, what is annotated (needs no model), or both (model)'
    option('--source', choices=tuple(SOURCES), default='model', help=sources)
    missed = 'an annotated object of which too little stays: keep its pixels, ignore it (iscrowd), drop it (keep)'
    option('--missed', choices=('keep', 'ignore', 'drop'), help=missed)
    option('--min-recall', type=fraction, metavar='X', help='the share of its pixels that must stay (0.5)')
    option('--min-iou', type=fraction, metavar='X', help='reject images that agree less with their annotations (0)')


def add_outputs(option: Callable[..., argparse.Action]) -> None:
    option('-o', '--out', type=Path, default=Path('out'), metavar='DIR', help='where results go (out)')
    styles = f'which pictures (eliminated,overlay); of {", ".join(STYLES)}'
    option('--styles', type=names, default=['eliminated', 'overlay'], metavar='A,B', help=styles)
    formats = (
        'of the pictures (png). A JPEG blurs the zeros at an edge, a fringe to be learnt; WebP is lossless. '
        'mask and labels are always PNG, cutout never JPEG'
    )
    option('--format', choices=FORMATS, default='png', help=formats)
    fills = f'what the background becomes: {", ".join((*FILLS, *GIVEN))} (zero)'
    option('--fill', type=fill, metavar='F', help=fills)
    option(
        '--mix', type=mix, metavar='F:W,F:W', help='one of several fills for each image, by weight: zero:0.5,noise:0.5'
    )
    option('--dilate', type=whole, default=0, metavar='PX', help='keep a margin of this many pixels (0)')
    option('--seed', type=whole, default=0, metavar='N', help="of all chance, together with each file's name (0)")
    option('--quality', type=percent, default=95, metavar='N', help='of a JPEG, 1 to 100 (95)')


def add_running(option: Callable[..., argparse.Action]) -> None:
    option(
        '--device',
        type=device,
        default='auto',
        metavar='D',
        help='auto, cpu, cuda or cuda:N (auto: CUDA where there is one)',
    )
    precisions = (
        'of the model (auto: fp32 on CPU, fp16 on CUDA). bf16 is faster on CPUs and GPUs that have it; '
        'masks differ a little, see the README'
    )
    option('--precision', choices=('auto', 'fp32', 'bf16', 'fp16'), default='auto', help=precisions)
    option('--stock-head', action='store_true', help="mmdet's own SOLO head instead of this package's faster one")
    batches = (
        'images of one shape per forward pass (1 on CPU, 8 on CUDA). At 1 the same inputs give the same bytes; '
        'larger batches round differently, so that a few pixels at the edge of a mask may differ'
    )
    option('--batch-size', type=count, metavar='N', help=batches)
    cores = os.cpu_count() or 1
    option('--workers', type=count, default=cores, metavar='N', help='reading and writing threads (one a core)')
    trust = 'load a checkpoint that holds more than data, and run what is in it'
    option('--trust-checkpoint', action='store_true', help=trust)
    option('--cfg-options', metavar='K=V', help="override the config, mmdet's way: K=V [K=V ...]")
    larger = f'images of more pixels are errors, by their header, before they are decoded ({MAX_PIXELS})'
    option('--max-pixels', type=count, default=MAX_PIXELS, metavar='N', help=larger)
    option('--limit', type=count, metavar='N', help='only the first N images')
    option('--resume', action='store_true', help='go on where an earlier run into OUT ended')
    option('--overwrite', action='store_true', help='delete what an earlier run wrote to OUT, and nothing else')
    threads = 'that the model computes with (torch chooses); another number may round differently'
    option('--threads', type=count, metavar='N', help=threads)
    option('--shard', type=shard, default=WHOLE, metavar='I/N', help='only part I, from 0, of N equal parts')
    engines = 'images go through this process (local), or through the actors of Ray, one model each (ray)'
    option('--engine', choices=('local', 'ray'), default='local', help=engines)
    option(
        '--ray-address', metavar='A', help="of a Ray that runs: auto, or HOST:PORT (it starts one of this machine's)"
    )
    option('--merge', type=Path, metavar='OUT', help='end what the shards began: one manifest; needs nothing else')
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


def whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'expected a whole number of at least 0, got {text}')
    return value


def fill(text: str) -> str:
    if not (text in FILLS or text == 'dataset-mean' or COLOUR.fullmatch(text) or re.fullmatch('dir:.+', text)):
        raise argparse.ArgumentTypeError(f'no fill is called {text!r}; expected one of {", ".join((*FILLS, *GIVEN))}')
    return text


def mix(text: str) -> list[tuple[str, float]]:
    """`zero:0.5,noise:0.5` -> [('zero', 0.5), ('noise', 0.5)]."""
    parts, end = [], 0
    while match := PART.match(text, end):
        parts.append((fill(match[1]), float(match[2])))
        end = match.end()
    if end != len(text) or sum(weight for _, weight in parts) <= 0:
        raise argparse.ArgumentTypeError(f'expected fills with weights such as zero:0.5,noise:0.5, got {text!r}')
    return parts


def shard(text: str) -> Shard:
    match = re.fullmatch(r'(\d+)/(\d+)', text)
    if not match or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(f'expected I/N with I from 0 to N - 1, such as 0/4, got {text}')
    return Shard(int(match[1]), int(match[2]))


def percent(text: str) -> int:
    value = count(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 to 100, got {text}')
    return value


def names(text: str) -> list[str]:
    given = dict.fromkeys(part.strip() for part in text.split(',') if part.strip())
    if not given:
        raise argparse.ArgumentTypeError(f'expected names with commas between them, got {text!r}')
    return list(given)


def device(text: str) -> str:
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', text):
        raise argparse.ArgumentTypeError(f'no device is called {text!r}; expected auto, cpu, cuda or cuda:N')
    return text
