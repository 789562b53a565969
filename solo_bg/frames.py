"""The frames of one video through the stages of the pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat, takewhile
from typing import Any, TypeVar

from solo_bg import pipeline
from solo_bg.core.steady import steady
from solo_bg.core.streams import work_so_far
from solo_bg.disk.video import Frame
from solo_bg.errors import ImageError
from solo_bg.options import Options
from solo_bg.pipeline import Job, Loaded, Segmented, failed
from solo_bg.records import Record
from solo_bg.sources.base import Source
from solo_bg.sources.clip import Clip, remembers
from solo_bg.workers import ahead, single_threaded_pool

R = TypeVar('R')
AHEAD = 4  # frames that are decoded ahead of their turn, and composed ones that wait for the encoder


@dataclass(frozen=True)
class FrameJob(Job):
    """A frame, and the name of its results."""

    frame: Frame


def process(
    frames: Iterable[FrameJob],
    source: Source,
    options: Options,
    load: Callable[[FrameJob], Loaded | Record],
    last: Callable[[Segmented | Record], R],
) -> Generator[R]:
    """The stages of the pipeline for the frames of one video, which are decoded in a thread of their own."""
    if remembers(source):
        source, options = Clip(source), replace(options, batch_size=1)
    smooth = iter if options.smooth == 1 else lambda items: steady_frames(items, options)
    with single_threaded_pool(1) as decoder:
        yield from pipeline.stages(in_background(decoder, frames), source, options, load, last, smooth)


def in_background(pool: ThreadPoolExecutor, items: Iterable[R]) -> Iterator[R]:
    """The items, which are made ahead of their turn in the thread of a pool of one."""
    iterator, end = iter(items), object()
    made: Iterator[Any] = ahead(pool, lambda _: next(iterator, end), repeat(None), AHEAD)
    return takewhile(lambda item: item is not end, made)


def steady_frames(items: Iterable[Segmented | Record], options: Options) -> Iterator[Segmented | Record]:
    """The frames with steadied masks of the instances that are kept.

    Raises:
        ImageError: a frame failed, without which the others cannot be steadied.
    """

    def chosen() -> Iterator[tuple[Segmented, Any]]:
        for item in items:
            if isinstance(item, Record):
                raise ImageError(f'{item.input}: {item.error}')
            yield item, pipeline.keep_chosen(item.instances, options)

    for item, instances in steady(chosen(), options.smooth):
        yield replace(item, instances=instances, ready=work_so_far(instances.device))


def load_frame(one: FrameJob, key: str, source: Source) -> Loaded | Record:
    """Convert and preprocess one frame."""
    start = time.perf_counter()
    try:
        return pipeline.prepare(one, key, one.frame.pixels(), source, None, start)
    except Exception as error:
        return failed(one, key, error, start)
