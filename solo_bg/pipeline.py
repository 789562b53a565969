"""The one line, over many images: read -> segment -> compose -> write, once, and never back."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from solo_bg.coco.carry_over import carry_over, keep_all, predictions
from solo_bg.coco.dataset import Entry, Labels
from solo_bg.core.instances import Instances, Picture
from solo_bg.disk.files import encode_image, read_bytes, write_all
from solo_bg.disk.inputs import MAX_PIXELS, ImageFile, output_names
from solo_bg.disk.pixels import decode_image
from solo_bg.draw.backgrounds import random_of, zero
from solo_bg.draw.compose import replace_background
from solo_bg.draw.styles import MASK_STYLES, load_style
from solo_bg.errors import ImageError, ran_out_of_memory
from solo_bg.runs.journal import Memory, Record
from solo_bg.sources.base import Source

MOST_AHEAD = 8  # images read or drawn that wait on either side of the model, beside a batch
if TYPE_CHECKING:
    from solo_bg.draw.fills import Fill

T = TypeVar('T')
R = TypeVar('R')


@dataclass(frozen=True)
class Options:
    """What is kept, what is drawn, and how it is written. The command line's help says what each means."""

    out: Path
    styles: Sequence[str] = ('eliminated', 'overlay')
    score_thr: float = 0.3
    classes: Sequence[str] | None = None
    sort_by_density: bool = False
    on_empty: str = 'skip'
    fill: Fill = zero
    dilate: int = 0
    seed: int = 0
    missed: str = 'keep'
    min_recall: float = 0.5
    min_iou: float = 0.0
    batch_size: int = 1
    workers: int = 2
    max_pixels: int = MAX_PIXELS
    format: str = 'png'
    quality: int = 95

    def output(self, style: str, name: str) -> str:
        """The path of one picture, relative to `out`."""
        lossy_alpha = style == 'cutout' and self.format == 'jpg'
        return f'{style}/{name}.{"png" if style in MASK_STYLES or lossy_alpha else self.format}'


@dataclass
class Job:
    """An image under way, with what is known of it so far."""

    image: ImageFile
    name: str
    key: str = ''
    record: Record | None = None
    picture: Picture | None = None
    instances: Instances | None = None
    drawn: dict[str, np.ndarray[Any, Any]] | None = None
    kept: dict[str, int] = field(default_factory=dict)
    foreground: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    iou: float | None = None
    decisions: dict[str, list[Any]] = field(default_factory=dict)
    entry: Entry = field(default_factory=dict)
    annotations: list[Entry] = field(default_factory=list)

    @property
    def status(self) -> str:
        if self.error:
            return 'error'
        return ('ok' if self.foreground else 'empty') if self.drawn is not None else 'rejected'


def run(
    images: Sequence[ImageFile],
    source: Source,
    options: Options,
    labels: Labels | None = None,
    names: Sequence[str] | None = None,
    journal: Memory | None = None,
) -> Iterator[Record]:
    """Do all images; yield what became of each, in order.

    The model runs in the calling thread. Reading and preparing for it, and composing, encoding and writing after it,
    happen in `options.workers` threads, a batch and a few images ahead of it and behind it. An image that fails is an
    `error`; the others go on.

    Args:
        labels: every image must be among them, and its annotations are carried over.
        names: of the results, one an image; made of `images` alone if not given.
        journal: of earlier runs: what it knows to be made already is not made again.
    """
    jobs = (Job(image, name) for image, name in zip(images, names or output_names(images), strict=True))
    depth = min(options.workers, MOST_AHEAD) + options.batch_size
    with single_threaded_pool(options.workers) as pool:
        read_jobs = ahead(pool, lambda job: read(job, source, options, labels, journal), jobs, depth)
        found_jobs = (job for batch in batches(read_jobs, options.batch_size) for job in segment(batch, source))
        yield from ahead(pool, lambda job: write(compose(job, options), options, journal), found_jobs, depth)


@contextmanager
def single_threaded_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Workers in each of which torch computes with one thread: the model has the others.

    Torch keeps the number for every thread that begins, so it is put back in the end.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield pool
            except BaseException:  # an interrupt: what has begun ends, what waits does not begin
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)


def ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], depth: int) -> Iterator[R]:
    """`map(work, items)` in order, in the pool's threads, with at most `depth` items under way."""
    under_way: deque[Future[R]] = deque()
    for item in items:
        under_way.append(pool.submit(work, item))
        if len(under_way) > depth:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last perhaps shorter."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


@contextmanager
def step(jobs: Sequence[Job]) -> Iterator[None]:
    """Time one step, and note an ImageError as the jobs' own."""
    start = time.perf_counter()
    try:
        yield
    except ImageError as error:
        for job in jobs:
            job.error = str(error)
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        for job in jobs:
            job.error = f'memory ran out: {error}'
    for job in jobs:
        job.seconds += (time.perf_counter() - start) / len(jobs)


def read(job: Job, source: Source, options: Options, labels: Labels | None, journal: Memory | None) -> Job:
    with step([job]):
        data = read_bytes(job.image.path, options.max_pixels)
        if journal:
            job.key = journal.key(data)
            job.record = find_made(journal, job, options)
        if job.record:
            return job
        pixels, shown = decode_image(data, options.max_pixels), job.image.shown
        annotated = labels(shown, (pixels.shape[0], pixels.shape[1])) if labels else None
        job.picture = source.prepare(Picture(job.name, shown, pixels, annotated=annotated))
    return job


def find_made(journal: Memory, job: Job, options: Options) -> Record | None:
    """What the journal says of this input, if its pictures are where they would be written now."""
    record = journal.find(job.image.shown, job.key)
    if not record or any(
        path != options.output(style, job.name) or not os.path.isfile(options.out / path)
        for style, path in record.outputs.items()
    ):
        return None
    return record


def segment(batch: list[Job], source: Source) -> list[Job]:
    """Find the instances of those that were read. If they fail together, each half of them is tried."""
    good = [job for job in batch if job.picture is not None]
    if good:
        with step(good):
            for job, instances in zip(good, source([job.picture for job in good if job.picture]), strict=True):
                job.instances = instances
    if len(good) > 1 and good[0].error:
        for job in good:
            job.error = None
        segment(good[: len(good) // 2], source)
        segment(good[len(good) // 2 :], source)
    return batch


def compose(job: Job, options: Options) -> Job:
    """Choose what is kept and draw it where the masks are; the pictures leave the device here."""
    if job.picture is None or job.instances is None:
        return job
    with step([job]):
        keep = choose(job, job.picture, job.instances, options)
        image = torch.from_numpy(job.picture.pixels).to(keep.device)
        job.kept = keep.count_by_class()
        job.foreground = int(keep.foreground.count_nonzero()) / keep.union.numel()
        if job.iou is None or job.iou >= options.min_iou:
            if not job.foreground and options.on_empty == 'copy' and job.picture.annotated:  # all stays, labels too
                job.annotations, job.decisions = keep_all(job.picture.annotated, options.classes), {}
            draw = load_style if job.foreground or options.on_empty == 'black' else copy_style
            wanted = options.styles if job.foreground or options.on_empty != 'skip' else ()
            pictures = {style: draw(style)(image, keep) for style in wanted}
            if 'eliminated' in pictures and options.fill is not zero and draw is load_style:
                background = options.fill(image, random_of(options.seed, job.image.path.name))
                pictures['eliminated'] = replace_background(image, keep.foreground, background)
            job.drawn = {style: picture.cpu().numpy() for style, picture in pictures.items()}
        job.picture = job.instances = None  # the masks may be on the GPU
    return job


def choose(job: Job, picture: Picture, instances: Instances, options: Options) -> Instances:
    """Which instances stay, the annotations having had their say; notes what leaves with the picture."""
    known = instances.class_names or instances.names
    classes = None if options.classes is None else [name for name in options.classes if name in known]
    keep = instances.select(options.score_thr, classes)
    if picture.annotated:
        rules = options.missed, options.min_recall, options.classes, options.dilate
        carried = carry_over(keep, picture.annotated, *rules)
        keep, job.iou, job.decisions = carried.instances, carried.iou, carried.decisions
        job.entry, job.annotations = picture.annotated.image, carried.entries
    else:
        height, width = instances.size
        job.entry = {'height': height, 'width': width}
        job.annotations = predictions(keep) if 'eliminated' in options.styles else []  # else nobody asks for them
    if options.sort_by_density:
        keep = keep.sort_by_area()
    return keep.grow(options.dilate)


def copy_style(style: str) -> Callable[[torch.Tensor, Instances], torch.Tensor]:
    """For `--on-empty copy`: the image itself, opaque; masks stay empty."""
    if style in MASK_STYLES:
        return load_style(style)
    if style == 'cutout':
        return lambda image, instances: torch.cat([image, torch.full_like(image[..., :1], 255)], 2)
    return lambda image, instances: image


def write(job: Job, options: Options, journal: Memory | None = None) -> Record:
    """Encode all pictures, then write them: all or none."""
    if job.record:
        return job.record
    drawn = job.drawn or {}
    outputs = {style: options.output(style, job.name) for style in drawn}
    with step([job]):
        encoded = {
            outputs[style]: encode_image(picture, Path(outputs[style]).suffix, options.quality)
            for style, picture in drawn.items()
        }
        if journal and outputs:
            journal.begin(job.image.shown, outputs)
        write_all(options.out, encoded)
    carried = None
    if 'eliminated' in outputs and not job.error:
        carried = {**job.entry, 'file_name': outputs['eliminated'].removeprefix('eliminated/')}, job.annotations
    return Record(
        input=job.image.shown,
        status=job.status,
        outputs={} if job.error else outputs,
        instances=sum(job.kept.values()),
        classes=job.kept,
        foreground=round(job.foreground, 6),
        seconds=round(job.seconds, 4),
        error=job.error,
        iou=None if job.iou is None else round(job.iou, 6),
        decisions=job.decisions,
        key=job.key,
        carried=carried,
    )
