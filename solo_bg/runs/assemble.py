"""Make what a run needs from its settings: the mask source, the fill and the options of the pipeline.

Torch and mmdet are imported when an object needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from solo_bg.errors import SetupError
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import Shard, cores
from solo_bg.sources import choose_source
from solo_bg.sources.base import Source, SourceSettings
from solo_bg.sources.tiled import read_tiles

if TYPE_CHECKING:
    from solo_bg.coco.dataset import Annotations
    from solo_bg.disk.inputs import ImageFile
    from solo_bg.draw.fills import Fill
    from solo_bg.options import Options


def set_threads(threads: int | None, shard: Shard) -> None:
    """Set the number of CPU threads of the model. Under torchrun, the default is a fair share of the cores."""
    import torch

    if threads or shard.launched:
        torch.set_num_threads(threads or cores())


def make_source(settings: Settings, annotations: Annotations | None) -> Source:
    """The mask source. Raises SetupError if neither it nor the annotations know a class of `classes`."""
    annotated = tuple(annotations.class_names) if annotations else ()
    _, kind = choose_source(settings.source, settings.config)
    source = kind.build(
        SourceSettings(
            config=settings.config,
            checkpoint=settings.checkpoint,
            cfg_options=settings.cfg_options,
            device=settings.device,
            precision=settings.precision,
            backend=settings.backend,
            stock_head=settings.stock_head,
            trust_checkpoint=settings.trust_checkpoint,
            options=settings.source_options,
            annotated_classes=annotated,
        )
    )
    if settings.tiles:
        source = source.in_tiles(*read_tiles(settings.tiles))
    check_classes(settings, (*source.class_names, *annotated))
    return source


def check_classes(settings: Settings, known: Sequence[str]) -> None:
    """Raise SetupError if one of `classes` is not known."""
    if unknown := [name for name in settings.classes or () if name not in known]:
        raise SetupError(f'no class named {", ".join(unknown)}; the classes are {", ".join(dict.fromkeys(known))}')


def make_options(settings: Settings, fill: Fill | None = None, device: str = 'cpu') -> Options:
    """The options of the pipeline, for a source that computes on `device`."""
    from solo_bg.draw.refine import load_refiner
    from solo_bg.options import Options

    _, kind = choose_source(settings.source, settings.config)
    given: dict[str, Any] = {'fill': fill, 'missed': settings.missed, 'segmentation': settings.segmentation}
    return Options(
        out=settings.out,
        styles=settings.styles,
        score_thr=settings.score_thr if kind.has_scores else 0.0,
        classes=settings.classes,
        sort_by_density=settings.sort_by_density,
        on_empty=settings.on_empty,
        refine=load_refiner(settings.refine, settings.refine_options) if settings.refine else None,
        soft=settings.soft,
        dilate=settings.dilate,
        seed=settings.seed,
        min_recall=settings.min_recall,
        min_iou=settings.min_iou or 0.0,
        batch_size=settings.batch_size or (8 if device.startswith('cuda') else 1),
        workers=settings.workers,
        max_pixels=settings.max_pixels,
        format=settings.format,
        quality=settings.quality,
        thumbnails=settings.report == 'full',
        frames=settings.frames,
        smooth=settings.smooth,
        crf=settings.crf,
        **{name: value for name, value in given.items() if value is not None},
    )


def describe_dataset(options: Options, annotations: Annotations | None, source: Source) -> dict[str, Any] | None:
    """What annotations.json holds besides images and annotations, as `manifest.finish` takes it."""
    from solo_bg.coco.pseudo_labels import pseudo_labels

    if 'eliminated' not in options.styles:
        return None
    if annotations:
        return {'head': annotations.head, 'numbered': False}
    return {'head': pseudo_labels(source.class_names), 'numbered': True}


def make_fill(settings: Settings, images: Sequence[ImageFile]) -> Fill:
    """The fill that `fill` or `mix` names. `dataset-mean` is the mean colour of `images`, videos left out."""
    from solo_bg.draw.backgrounds import Mix
    from solo_bg.draw.fills import one_fill

    images = [image for image in images if not image.is_video]
    if not settings.mix:
        return one_fill(settings.fill or 'zero', images, settings.max_pixels)
    fills = [one_fill(name, images, settings.max_pixels) for name, _ in settings.mix]
    return Mix(fills, [weight for _, weight in settings.mix], [name for name, _ in settings.mix])


def check_fills(settings: Settings) -> None:
    """Raise SetupError if a folder that a fill names holds no images. Costs nothing but a look at the folder."""
    from solo_bg.draw.fills import one_fill

    for name in [settings.fill, *(name for name, _ in settings.mix or ())]:
        if name and name.startswith('dir:'):
            one_fill(name)
