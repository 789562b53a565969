"""Threads ahead of the model and behind it, and batches of images of one shape."""

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
    """Workers in each of which torch computes with one thread: the model has the others.

    Torch keeps the number for every thread that starts later, so it is restored in the end.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield pool
            except BaseException:  # an interrupt: running work ends, waiting work does not start
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


def map_in_batches(
    work: Callable[[list[T]], list[R]], items: Iterable[T], size: int, shape: Callable[[T], Hashable], window: int
) -> Iterator[R]:
    """`work` on lists of at most `size` items of one shape; its results in the order of the items.

    At most `window` items are held, so that images of mixed shapes still fill their batches.
    """
    numbered = enumerate(items)
    waiting: dict[int, T] = {}
    done: dict[int, R] = {}
    following = 0  # the number of the next result
    while True:
        waiting.update(islice(numbered, window - len(waiting) - len(done)))
        if not waiting:
            return
        wanted = shape(next(iter(waiting.values())))
        batch = list(islice((index for index, item in waiting.items() if shape(item) == wanted), size))
        done.update(zip(batch, work([waiting.pop(index) for index in batch]), strict=True))
        while following in done:
            yield done.pop(following)
            following += 1
