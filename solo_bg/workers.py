"""Worker threads before and after the model, and batches of images of the same shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

T = TypeVar('T')
R = TypeVar('R')


@contextmanager
def single_threaded_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads in which torch uses one CPU thread each, so that the model keeps the others.

    `torch.set_num_threads` also applies to threads that start later, so the old number is restored at the end. After
    an exception, running work is completed and waiting work is cancelled.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield pool
            except BaseException:  # Ctrl-C too
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)


def ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], depth: int) -> Iterator[R]:
    """`map(work, items)` in the pool's threads, in order. At most `depth` items are being worked on or wait."""
    under_way: deque[Future[R]] = deque()
    for item in items:
        under_way.append(pool.submit(work, item))
        if len(under_way) > depth:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def map_in_batches(
    work: Callable[[list[T]], list[R]], items: Iterable[T], size: int, shape: Callable[[T], Hashable], window: int
) -> Iterator[R]:
    """Call `work` with lists of at most `size` items of equal shape; yield its results in the order of the items.

    Up to `window` items are collected, so that batches are full although shapes are mixed.
    """
    numbered = enumerate(items)
    waiting: dict[int, T] = {}
    done: dict[int, R] = {}
    following = 0  # the number of the next result
    while True:
        waiting.update(islice(numbered, window - len(waiting) - len(done)))
        if not waiting:
            return
        first = next(iter(waiting))
        wanted = shape(waiting[first])
        alike = (index for index, item in waiting.items() if index == first or shape(item) == wanted)
        batch = list(islice(alike, size))  # never empty, even if the shape is not equal to itself, as NaN is not
        done.update(zip(batch, work([waiting.pop(index) for index in batch]), strict=True))
        while following in done:
            yield done.pop(following)
            following += 1
