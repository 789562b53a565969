"""The pipeline: load -> segment -> compose -> write, for many images.

Each stage returns the input of the next one, or the `Record` of an image that needs no further stage.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.coco.carry_over import carry_over, keep_all
from solo_bg.coco.check import Entry
from solo_bg.coco.dataset import Labels
from solo_bg.coco.pseudo_labels import predictions
from solo_bg.core.instances import Instances
from solo_bg.core.streams import own_stream, work_so_far
from solo_bg.core.transfer import download, upload
from solo_bg.disk.decode import decode_image
from solo_bg.disk.encode import encode_image
from solo_bg.disk.inputs import ImageFile
from solo_bg.disk.output_names import output_names, thumbnail_path
from solo_bg.disk.read import read_bytes
from solo_bg.disk.write import write_all, write_bytes
from solo_bg.draw.backgrounds import Mix, random_of, zero
from solo_bg.draw.compose import fade, opacity, replace_background
from solo_bg.draw.styles import ALPHA_STYLES, MASK_STYLES, STYLES, load_style
from solo_bg.draw.thumbnails import thumbnail, thumbnail_of_files
from solo_bg.errors import ImageError, SetupError, is_fatal
from solo_bg.options import Options
from solo_bg.parts import Row, draw_parts, encode_rows
from solo_bg.records import EarlierResults, Record, error_record
from solo_bg.sources.base import InputImage, Source
from solo_bg.workers import ahead, map_in_batches, single_threaded_pool

T = TypeVar('T')
R = TypeVar('R')
MAX_AHEAD = 8  # images, besides a batch, that may wait on either side of the model
WINDOW = 4  # number of batches in which images of the same shape are looked for


@dataclass(frozen=True)
class Job:
    """An image, and the name of its results."""

    image: ImageFile
    name: str


@dataclass(frozen=True)
class Loaded:
    """An image that was read and preprocessed.

    `key`: as in `Record`. `shape`: images with equal values share a batch. `seconds`: time spent so far.
    """

    job: Job
    key: str
    image: InputImage
    shape: Hashable
    seconds: float


@dataclass(frozen=True)
class Segmented:
    """An image and its instances, on the source's device, where they are complete when `ready` (`work_so_far`) is."""

    job: Job
    key: str
    image: InputImage
    instances: Instances
    seconds: float
    ready: Any = None


@dataclass(frozen=True)
class Choice:
    """Which instances stay, and what is known of the image's annotations.

    `entry` and `annotations` are the image's for annotations.json; `iou`, `decisions` and `restored` as in `Record`.
    `colours` are the foreground's, uint8 (H, W, 3), where they differ from the image's.
    """

    instances: Instances
    entry: Entry
    annotations: list[Entry]
    iou: float | None = None
    decisions: dict[str, list[Any]] = field(default_factory=dict)
    restored: float | None = None
    colours: torch.Tensor | None = None


@dataclass(frozen=True)
class Composed:
    """The pictures of an image, on the host, by their keys in `Record.outputs`; and its record so far.

    `rows` are the rows of the indexes, by style, for styles of several pictures. `thumbnail` is for the report, where
    it shows pictures.
    """

    job: Job
    pictures: dict[str, NDArray[Any]]
    record: Record
    carried: tuple[Entry, list[Entry]]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    thumbnail: bytes | None = None


def run(
    images: Sequence[ImageFile],
    source: Source,
    options: Options,
    labels: Labels | None = None,
    names: Sequence[str] | None = None,
    earlier: EarlierResults | None = None,
) -> Iterator[Record]:
    """Process all images; yield their records, in order.

    The source runs in the calling thread, or in `source.at_once` threads. Images are loaded, composed and written in
    `options.workers` other threads. An image that fails gets a record with the status `error`, and the others go on.

    Args:
        labels: the annotations to carry over. An image that they lack is an error.
        names: names of the results, one for each image (default: made from `images`).
        earlier: results of earlier runs. Pictures with the same key are not made again.

    Raises:
        SetupError: the source cannot process any image.
        RuntimeError: the device is lost, so that no further image can be processed.
    """
    jobs = (Job(image, name) for image, name in zip(images, names or output_names(images), strict=True))
    yield from stages(
        jobs,
        source,
        options,
        first=lambda job: load(job, source, options, labels, earlier),
        last=lambda item: write(compose(item, options), options, earlier),
    )


def stages(
    items: Iterable[T],
    source: Source,
    options: Options,
    first: Callable[[T], Loaded | Record],
    last: Callable[[Segmented | Record], R],
    between: Callable[[Iterator[Segmented | Record]], Iterator[Segmented | Record]] = iter,
) -> Iterator[R]:
    """Send items through the stages, in order: `first` loads and `last` composes, both in worker threads.

    `between` gets the segmented images one after another, in the calling thread.
    """
    size = options.batch_size
    depth = min(options.workers, MAX_AHEAD) + size
    window = size if size == 1 else WINDOW * size
    with single_threaded_pool(options.workers) as pool, single_threaded_pool(source.at_once) as sources:
        loaded = ahead(pool, first, items, depth)
        if source.at_once > 1:
            segmented = ahead(sources, lambda item: segment([item], source)[0], loaded, source.at_once)
        else:
            segmented = map_in_batches(lambda batch: segment(batch, source), loaded, size, batch_shape, window)
        yield from ahead(pool, last, between(segmented), depth)


def load(
    job: Job, source: Source, options: Options, labels: Labels | None, earlier: EarlierResults | None
) -> Loaded | Record:
    """Read, decode and preprocess one image. If its results exist already, return their record."""
    start, key = time.perf_counter(), ''
    try:
        data = read_bytes(job.image.path, options.max_pixels)
        if earlier:
            key = earlier.key(data)
            made = find_made(earlier, job, key, options)
            if made and (not options.thumbnails or add_thumbnail(job, data, made, options)):
                return made
        return prepare(job, key, decode_image(data, options.max_pixels), source, labels, start)
    except Exception as error:
        return failed(job, key, error, start)


def prepare(
    job: Job, key: str, pixels: NDArray[np.uint8], source: Source, labels: Labels | None, start: float
) -> Loaded:
    """Look up an image's annotations, and preprocess it. `start`: when work on it began."""
    shown = job.image.shown
    annotated = labels(shown, (pixels.shape[0], pixels.shape[1])) if labels else None
    image = source.prepare(InputImage(job.name, shown, pixels, annotated=annotated))
    shape = source.batch_shape(image)
    hash(shape)
    return Loaded(job, key, image, shape, time.perf_counter() - start)


def find_made(earlier: EarlierResults, job: Job, key: str, options: Options) -> Record | None:
    """The earlier record of this input, if its pictures exist where they would be written now."""
    record = earlier.find(job.image.shown, key)
    if not record or any(
        path != options.output(style, job.name) or not os.path.isfile(options.out / path)
        for style, path in record.outputs.items()
    ):
        return None
    return record


def add_thumbnail(job: Job, data: bytes, made: Record, options: Options) -> bool:
    """Make the thumbnail of earlier results, unless it is there. False if their pictures cannot be read."""
    path = options.out / thumbnail_path(made.input)
    if path.is_file() and path.stat().st_size:
        return True
    try:
        image = decode_image(data, options.max_pixels)
        whole = {style: path for style, path in made.outputs.items() if style in STYLES}
        write_bytes(path, thumbnail_of_files(image, options.out, whole), durable=False)
    except ImageError:
        return False
    return True


def batch_shape(item: Loaded | Record) -> Hashable:
    return item.shape if isinstance(item, Loaded) else None


def segment(batch: Sequence[Loaded | Record], source: Source) -> list[Segmented | Record]:
    """Find the instances of a batch. If that fails, try each half of the batch, down to single images."""
    items = [item for item in batch if isinstance(item, Loaded)]
    if not items:
        return [item for item in batch if isinstance(item, Record)]
    start = time.perf_counter()
    try:
        found = source([item.image for item in items])
        if len(found) != len(items) or not all(isinstance(one, Instances) for one in found):
            kinds = ', '.join(type(one).__name__ for one in found) or 'nothing'
            raise TypeError(f'the source returned {kinds} for {len(items)} images; expected one Instances for each')
    except Exception as error:
        if len(items) == 1:
            return [failed(items[0].job, items[0].key, error, start - items[0].seconds)]
        reraise_if_fatal(error)
        middle = len(items) // 2
        return [*segment(items[:middle], source), *segment(items[middle:], source)]
    share, ready = (time.perf_counter() - start) / len(items), work_so_far(torch.device(source.device))
    return [
        Segmented(item.job, item.key, item.image, instances, item.seconds + share, ready)
        for item, instances in zip(items, found, strict=True)
    ]


def compose(item: Segmented | Record, options: Options) -> Composed | Record:
    """Choose the instances to keep and draw them on the masks' device; copy the pictures to the host."""
    if isinstance(item, Record):
        return item
    start = time.perf_counter() - item.seconds
    try:
        with own_stream(item.instances.device, item.ready):
            composed = compose_here(item, options)
    except Exception as error:
        return failed(item.job, item.key, error, start)
    return replace(composed, record=replace(composed.record, seconds=time.perf_counter() - start))


def compose_here(item: Segmented, options: Options) -> Composed:
    """`compose` in the current stream."""
    choice = choose(item, options)
    foreground = int(choice.instances.foreground.count_nonzero()) / choice.instances.union.numel()
    classes = choice.instances.count_by_class()
    record = Record(
        input=item.job.image.shown,
        status='ok' if foreground else 'empty',
        instances=sum(classes.values()),
        classes=classes,
        foreground=round(foreground, 6),
        iou=None if choice.iou is None else round(choice.iou, 6),
        decisions=choice.decisions,
        restored=None if choice.restored is None else round(choice.restored, 6),
        key=item.key,
    )
    if choice.iou is not None and choice.iou < options.min_iou:
        pictures: dict[str, NDArray[Any]] = {}
        rows: dict[str, list[Row]] = {}
        record = replace(record, status='rejected')
    else:
        if not foreground and options.on_empty == 'copy' and item.image.annotated:  # the whole image stays
            choice = replace(choice, annotations=keep_all(item.image.annotated, options.classes))
            record = replace(record, decisions=item.image.annotated.decisions)
        pictures, rows, fill = draw(item, choice, bool(foreground), options)
        record = replace(record, fill=fill)
    whole = [picture for key, picture in pictures.items() if key in STYLES]
    small = thumbnail(item.image.pixels, whole) if options.thumbnails else None
    return Composed(item.job, pictures, record, (choice.entry, choice.annotations), rows, small)


def choose(item: Segmented, options: Options) -> Choice:
    """Select instances by score and class, and reconcile them with the image's annotations."""
    instances, annotated = item.instances, item.image.annotated
    keep = keep_chosen(instances, options)
    if annotated:
        rules = options.missed, options.min_recall, options.classes, options.dilate
        carried = carry_over(keep, annotated, *rules)
        decided = carried.iou, carried.decisions, carried.restored
        choice = Choice(carried.instances, annotated.image, carried.entries, *decided)
        keep, colours = refine(item, carried.instances, options)
    else:
        keep, colours = refine(item, keep, options)
        height, width = instances.size
        written = options.annotate and 'eliminated' in options.styles  # else annotations.json is not
        found = predictions(keep, options.segmentation) if written else []
        choice = Choice(keep, {'height': height, 'width': width}, found)
    keep = keep.sort_by_area() if options.sort_by_density else keep
    return replace(choice, instances=keep.grow(options.dilate), colours=colours)


def keep_chosen(instances: Instances, options: Options) -> Instances:
    """Those of the score and the classes that `options` ask for."""
    known = instances.class_names or instances.names
    classes = None if options.classes is None else [name for name in options.classes if name in known]
    return instances.select(options.score_thr, classes)


def refine(item: Segmented, keep: Instances, options: Options) -> tuple[Instances, torch.Tensor | None]:
    """The instances with alpha, and the foreground's colours, if `options` ask for them."""
    if not options.refine or not keep.union.any():
        return keep, None
    return options.refine(upload(torch.from_numpy(item.image.pixels), keep.device), keep)


def draw(
    item: Segmented, choice: Choice, any_foreground: bool, options: Options
) -> tuple[dict[str, NDArray[Any]], dict[str, list[Row]], str | None]:
    """Draw every style. An image without instances gets none, black ones or copies of it (`--on-empty`).

    Returns:
        `pictures` and `rows` of `Composed`, and the name of the fill if one of several was drawn by lot.
    """
    keep = choice.instances
    if not any_foreground and options.on_empty == 'skip':
        return {}, {}, None
    copies = not any_foreground and options.on_empty == 'copy'
    image = upload(torch.from_numpy(item.image.pixels), keep.device)
    colours = image if choice.colours is None else choice.colours
    pictures = {
        style: (copy_style if copies else load_style)(style)(colours if style in ALPHA_STYLES else image, keep)
        for style in options.styles
        if style in STYLES
    }
    chosen = None
    if 'eliminated' in pictures and (options.soft or options.fill is not zero) and not copies:
        fill, random = options.fill, random_of(options.seed, item.job.image.path.name)
        if isinstance(fill, Mix):
            chosen, fill = fill.choose(random)
        background = fill(image, random)
        if options.soft:
            pictures['eliminated'] = fade(colours, opacity(keep), background)
        else:
            pictures['eliminated'] = replace_background(image, keep.foreground, background)
    on_host = dict(zip(pictures, download(list(pictures.values())), strict=True))
    facts: Row = {'image': item.job.image.shown, 'image_width': keep.size[1], 'image_height': keep.size[0]}
    parts, rows = draw_parts(image, colours, keep, options, item.job.name, facts, item.image.annotated)
    return on_host | parts, rows, chosen


def copy_style(style: str) -> Callable[[torch.Tensor, Instances], torch.Tensor]:
    """The style for `--on-empty copy`: the image itself, opaque. Masks stay empty."""
    if style in MASK_STYLES:
        return load_style(style)
    if style == 'cutout':
        return lambda image, instances: torch.cat([image, torch.full_like(image[..., :1], 255)], 2)
    return lambda image, instances: image


def encode(item: Composed, options: Options) -> dict[str, bytes]:
    """The files of an image, by their keys in `Record.outputs`: pictures, and the indexes of styles with parts.

    Raises ImageError if the format cannot hold a picture.
    """
    suffixes = {key: Path(options.output(key, item.job.name)).suffix for key in item.pictures}
    pictures = {key: encode_image(item.pictures[key], suffixes[key], options.quality) for key in suffixes}
    return pictures | {style: encode_rows(rows) for style, rows in item.rows.items()}


def write(item: Composed | Record, options: Options, earlier: EarlierResults | None = None) -> Record:
    """Encode all pictures and indexes, then write all of them or none."""
    if isinstance(item, Record):
        return item
    start, record = time.perf_counter() - item.record.seconds, item.record
    outputs = {key: options.output(key, item.job.name) for key in (*item.pictures, *item.rows)}
    try:
        encoded = {outputs[key]: data for key, data in encode(item, options).items()}
        if earlier and outputs:
            earlier.begin(record.input, outputs)
        if item.thumbnail:  # not durable: waiting for the disk would take longer than all the rest of it
            write_bytes(options.out / thumbnail_path(record.input), item.thumbnail, durable=False)
        write_all(options.out, encoded)
    except Exception as error:
        return failed(item.job, record.key, error, start)
    carried = None
    if 'eliminated' in outputs:
        entry, annotations = item.carried
        carried = {**entry, 'file_name': outputs['eliminated'].removeprefix('eliminated/')}, annotations
    seconds = round(time.perf_counter() - start, 4)
    return replace(record, outputs=outputs, seconds=seconds, carried=carried)


def failed(job: Job, key: str, error: Exception, start: float) -> Record:
    """The record of an image that failed. Errors that concern every image are raised again."""
    reraise_if_fatal(error)
    return error_record(job.image.shown, error, time.perf_counter() - start, key)


def reraise_if_fatal(error: Exception) -> None:
    """Raise errors after which no image can be processed: the setup is wrong, or the device is lost."""
    if isinstance(error, SetupError) or is_fatal(error):
        raise error
