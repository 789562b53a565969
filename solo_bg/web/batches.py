"""Batches of requests that wait for the model at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar('T')
R = TypeVar('R')


@dataclass(frozen=True, eq=False)  # an item may hold arrays, which cannot be compared
class Waiting(Generic[T, R]):
    item: T
    shape: Hashable
    answer: asyncio.Future[R]


class Batches(Generic[T, R]):
    """Calls `work` with lists of at most `size` items of equal shape, one list after the other, in a thread.

    An item never waits for others to fill its batch: the batch is made of what waits when the thread is free.

    Args:
        work: a list of items -> a list of results, one for each.
        size: items in a batch.
        thread: an executor of one thread.
    """

    def __init__(self, work: Callable[[list[T]], list[R]], size: int, thread: Executor) -> None:
        self.work, self.size, self.thread = work, size, thread
        self.waiting: list[Waiting[T, R]] = []
        self.arrived = asyncio.Event()

    async def ask(self, item: T, shape: Hashable) -> R:
        """The result for one item. Raises what `work` raises. An item whose asker is cancelled leaves the queue."""
        asked = Waiting[T, R](item, shape, asyncio.get_running_loop().create_future())
        self.waiting.append(asked)
        self.arrived.set()
        try:
            return await asked.answer
        finally:
            if asked in self.waiting:
                self.waiting.remove(asked)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.arrived.wait()
            if batch := self.take():
                await self.answer(batch)
            else:
                self.arrived.clear()

    def take(self) -> list[Waiting[T, R]]:
        """Remove the item that has waited longest and those of its shape, up to a batch."""
        if not self.waiting:
            return []
        alike = [one for one in self.waiting if one.shape == self.waiting[0].shape or one is self.waiting[0]]
        batch = alike[: self.size]
        self.waiting = [one for one in self.waiting if one not in batch]
        return batch

    async def answer(self, batch: list[Waiting[T, R]]) -> None:
        """Run one batch; hand out its results, or its error."""
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self.thread, self.work, [one.item for one in batch])
        except Exception as error:
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, result in zip(batch, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)
