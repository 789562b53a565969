"""One request from its form to its answer: the time it takes, and a client that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response

from solo_bg.cli.fields import Field
from solo_bg.cli.serving import Serving
from solo_bg.options import Options
from solo_bg.pipeline import Segmented
from solo_bg.web.engine import Engine
from solo_bg.web.errors import CLIENT_LEFT, busy
from solo_bg.web.forms import read_form, read_settings


class Desk:
    """Takes requests from their forms to their answers, with the help of the engine."""

    def __init__(self, engine: Engine, serving: Serving) -> None:
        self.engine, self.settings, self.limits = engine, serving.settings, serving.limits

    async def handle(
        self, request: Request, fields: Mapping[str, Field], finish: Callable[[Segmented, Options], Response]
    ) -> Response:
        """Read the form, find the image's instances, and answer with what `finish` makes of them."""
        form = await read_form(request, self.limits)
        settings = read_settings(form.texts, fields, self.settings)
        return await while_connected(request, self.in_time(self.engine.process(form, settings, finish)))

    async def in_time(self, work: Coroutine[Any, Any, Response]) -> Response:
        """The result of `work`. It is cancelled, and WebError raised, when it takes too long."""
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except asyncio.TimeoutError as error:
            expected = f'an answer within {self.limits.seconds:.0f} seconds'
            raise busy('a request that waited or was worked on for too long', expected) from error


async def while_connected(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
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
