"""Arguments -> objects: the mask source, the annotations, the options of a run.

Torch and mmdet are imported when an object needs them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_bg.cli.arguments import CLONE
from solo_bg.disk.inputs import MAX_PIXELS
from solo_bg.errors import ImageError, SetupError
from solo_bg.runs.shards import Shard, cores

CHECKPOINTS = CLONE / 'checkpoints' if (CLONE / 'checkpoints').is_dir() else Path('checkpoints')

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.coco.dataset import Annotations
    from solo_bg.disk.inputs import ImageFile
    from solo_bg.draw.fills import Fill
    from solo_bg.models.segmenter import Segmenter
    from solo_bg.models.zoo import Model
    from solo_bg.pipeline import Options
    from solo_bg.sources.base import Source


def open_annotations(path: Path) -> Annotations:
    from solo_bg.coco.dataset import Annotations
    from solo_bg.disk.files import read_json

    try:
        return Annotations(read_json(path))
    except SetupError as error:
        raise SetupError(f'{path}: {error}') from error


def open_model(args: argparse.Namespace) -> Segmenter:
    """The model that CONFIG and CHECKPOINT name, its weights downloaded if they are to be."""
    from mmengine.config import DictAction

    from solo_bg.models.segmenter import Segmenter

    values = argparse.ArgumentParser()
    values.add_argument('--cfg-options', nargs='*', action=DictAction, default={})
    try:
        cfg_options = values.parse_args(['--cfg-options', *args.cfg_options]).cfg_options
    except (AssertionError, ValueError) as error:
        raise SetupError(f'--cfg-options {" ".join(args.cfg_options)} cannot be read: {error}') from error
    config, checkpoint = find_model(args.config, args.checkpoint)
    return Segmenter(
        config,
        checkpoint,
        own_device(args.device),
        cfg_options,
        precision=args.precision,
        lazy=not args.stock_head,
        trust_checkpoint=args.trust_checkpoint,
    )


def own_device(device: str) -> str:
    """Under torchrun each process of a machine takes a GPU of its own."""
    import torch

    if device not in ('auto', 'cuda') or 'LOCAL_RANK' not in os.environ or not torch.cuda.is_available():
        return device
    return f'cuda:{int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()}'


def set_threads(threads: int | None, shard: Shard) -> None:
    """The number of threads that the model computes with. torchrun gives every process one; a fair share is more."""
    import torch

    if threads or shard.launched:
        torch.set_num_threads(threads or cores())


def find_model(config: str, checkpoint: str) -> tuple[str, str]:
    """CONFIG may be the name of a model of mmdet's; CHECKPOINT may be `auto`, that model's own weights."""
    from solo_bg.models import zoo

    given = Path(config)
    if given.is_file() and checkpoint != 'auto':
        return config, checkpoint
    if not given.is_file() and given.suffix == '.py':
        return config, checkpoint  # the segmenter says what is wrong
    try:
        model = zoo.find(given.stem if given.is_file() else config)
    except SetupError as error:
        if not given.is_file():
            raise
        raise SetupError(
            f'`auto` knows the models of mmdet only, not {config}; give the path of its weights'
        ) from error
    weights = str(fetch_weights(model)) if checkpoint == 'auto' else checkpoint
    return config if given.is_file() else str(model.config), weights


def fetch_weights(model: Model, folder: Path = CHECKPOINTS) -> Path:
    """A model's weights, downloaded to `folder` unless they are there; a progress bar on a terminal."""
    import sys

    from rich.console import Console
    from rich.progress import Progress

    from solo_bg.models.download import download

    if not model.weights:
        raise SetupError(f'mmdet has no weights of {model.name}; give the path of some')
    target = folder / model.file_name
    if target.exists():
        return target
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(model.file_name, total=None)
        return download(model.weights, target, lambda there, total: bar.update(task, completed=there, total=total))


def make_source(args: argparse.Namespace, segmenter: Segmenter | None, annotations: Annotations | None) -> Source:
    """Where masks come from, and a check that the chosen classes are known to it or to the annotations."""
    from solo_bg.sources.base import Detector, GroundTruth, Union

    annotated = annotations.class_names if annotations else ()
    model = Detector(segmenter) if segmenter else None
    source = (Union(model, annotated) if args.source == 'union' else model) if model else GroundTruth(annotated)
    known = dict.fromkeys((*source.class_names, *annotated))
    if unknown := [name for name in args.classes or () if name not in known]:
        raise SetupError(f'no class named {", ".join(unknown)}; the classes are {", ".join(known)}')
    return source


def make_options(args: argparse.Namespace, fill: Fill | None = None, on_cuda: bool = False) -> Options:
    from solo_bg.pipeline import Options

    chosen: dict[str, Any] = {} if fill is None else {'fill': fill}
    if args.missed:
        chosen['missed'] = args.missed
    if args.min_recall is not None:
        chosen['min_recall'] = args.min_recall
    return Options(
        out=args.out,
        styles=args.styles,
        score_thr=0.0 if args.source == 'gt' else args.score_thr,  # annotations have no scores
        classes=args.classes,
        sort_by_density=args.sort_by_density,
        on_empty=args.on_empty,
        dilate=args.dilate,
        seed=args.seed,
        min_iou=args.min_iou or 0.0,
        batch_size=args.batch_size or (8 if on_cuda else 1),
        workers=args.workers,
        max_pixels=args.max_pixels,
        format=args.format,
        quality=args.quality,
        **chosen,
    )


def describe_dataset(options: Options, annotations: Annotations | None, source: Source) -> dict[str, Any] | None:
    """What annotations.json will hold beside images and annotations, as `manifest.finish` wants it."""
    from solo_bg.coco.carry_over import pseudo_labels

    if 'eliminated' not in options.styles:
        return None
    if annotations:
        return {'head': annotations.head, 'numbered': False}
    return {'head': pseudo_labels(source.class_names), 'numbered': True}


def make_fill(args: argparse.Namespace, images: Sequence[ImageFile]) -> Fill:
    """The fill that `--fill` or `--mix` names; the data set's mean is taken of `images`."""
    from solo_bg.draw.backgrounds import Mix

    if not args.mix:
        return one_fill(args.fill or 'zero', images, args.max_pixels)
    fills = [one_fill(name, images, args.max_pixels) for name, _ in args.mix]
    return Mix(fills, [weight for _, weight in args.mix])


def one_fill(name: str, images: Sequence[ImageFile] | None = None, max_pixels: int = MAX_PIXELS) -> Fill:
    """The fill of this name: of FILLS, `dataset-mean` (of `images`), `R,G,B` or `dir:PATH`.

    Pictures of more than `max_pixels` do not count in the mean; one that a fill draws is an ImageError.
    """
    from solo_bg.disk.files import mean_colour
    from solo_bg.disk.inputs import list_images
    from solo_bg.draw import backgrounds
    from solo_bg.draw.fills import COLOUR, FILLS, GIVEN, load_fill

    if name in FILLS:
        return load_fill(name)
    if name == 'dataset-mean' and images is None:
        raise SetupError('the mean of the data set is known offline only; give it here as R,G,B')
    if name == 'dataset-mean':
        return backgrounds.Colour(mean_colour((image.path for image in images or ()), max_pixels))
    if COLOUR.fullmatch(name):
        red, green, blue = map(int, name.split(','))
        return backgrounds.Colour((blue, green, red))
    if not name.startswith('dir:'):
        raise SetupError(f'no fill is called {name!r}; expected one of {", ".join((*FILLS, *GIVEN))}')
    pictures = list_images([name.removeprefix('dir:')])
    if not pictures:
        raise SetupError(f'no images in {name.removeprefix("dir:")} to fill the background with')
    paths = [picture.path for picture in pictures]
    return backgrounds.Pictures(len(paths), partial(read_picture, paths, max_pixels))


def read_picture(paths: Sequence[Path], max_pixels: int, index: int) -> NDArray[np.uint8]:
    from solo_bg.disk.files import read_image

    try:
        return read_image(paths[index], max_pixels)
    except ImageError as error:
        raise ImageError(f'its fill {error}') from error
