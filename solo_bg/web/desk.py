"""One request from its arrival to its answer: its place in the queue, its time, and a client that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import Request, Response

from solo_bg.cli.fields import Field
from solo_bg.cli.serving import Serving
from solo_bg.options import Options
from solo_bg.pipeline import Segmented
from solo_bg.web.engine import Engine
from solo_bg.web.errors import busy
from solo_bg.web.forms import read_form, read_settings

CLIENT_LEFT = 499  # nobody reads this status; nginx has it in its log for the same reason


class Desk:
    """Takes requests, as many as fit, and has the engine work on them.

    Attributes:
        present: requests that are being received, wait, or are worked on.
    """

    def __init__(self, engine: Engine, serving: Serving) -> None:
        self.engine, self.serving, self.limits = engine, serving, serving.limits
        self.present = 0

    async def handle(
        self, request: Request, fields: Mapping[str, Field], finish: Callable[[Segmented, Options], Response]
    ) -> Response:
        """Read the form, find the image's instances, and answer with what `finish` makes of them."""
        with self.place():
            form = await read_form(request, self.limits)
            settings = read_settings(form.texts, fields, self.serving.settings)
            return await self.while_connected(request, self.in_time(self.engine.process(form, settings, finish)))

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue. Raises WebError if all are taken."""
        if self.present >= self.limits.queue:
            raise busy('one request too many', f'at most {self.limits.queue} at the same time')
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1

    async def in_time(self, work: Coroutine[Any, Any, Response]) -> Response:
        """The result of `work`. It is cancelled, and WebError raised, when it takes too long."""
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except asyncio.TimeoutError as error:
            expected = f'an answer within {self.limits.seconds:.0f} seconds'
            raise busy('a request that waited or was worked on for too long', expected) from error

    async def while_connected(self, request: Request, work: Coroutine[Any, Any, Response]) -> Response:
        """The result of `work`, which is cancelled when the client leaves."""
        task, left = asyncio.ensure_future(work), asyncio.ensure_future(until_disconnected(request))
        try:
            await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else Response(status_code=CLIENT_LEFT)
        finally:
            task.cancel()
            left.cancel()


async def until_disconnected(request: Request) -> None:
    """Return when the client is gone. The body must have been read."""
    while (await request.receive())['type'] != 'http.disconnect':
        pass
