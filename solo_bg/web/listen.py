"""How uvicorn listens: on connections on which requests arrive in time, and answers are read in time."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from solo_bg.cli.serving import Serving


class TimedProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits for slow headers and for slow readers for ever.

    It ends a connection on which a request takes too long to arrive, or on which nobody reads. The application itself
    limits the time of a body, and answers with an error; this is also for what still arrives after such an answer.
    """

    seconds: ClassVar[float] = 60.0
    arriving: asyncio.TimerHandle | None = None
    unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.arriving = self.end_later()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self.arriving = stop(self.arriving)
        elif self.arriving is None:
            self.arriving = self.end_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread = self.unread or self.end_later()

    def resume_writing(self) -> None:
        self.unread = stop(self.unread)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.arriving, self.unread = stop(self.arriving), stop(self.unread)
        super().connection_lost(exc)

    def end_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.seconds, self.transport.abort)


def stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancel a timer, if there is one. Returns None, for the attribute that held it."""
    if timer:
        timer.cancel()
    return None


def make_config(app: ASGIApp, serving: Serving) -> uvicorn.Config:
    """What uvicorn needs to serve the application within its limits."""
    limits = serving.limits
    return uvicorn.Config(
        app,
        serving.host,
        serving.port,
        http=type('TimedProtocol', (TimedProtocol,), {'seconds': 2 * limits.seconds}),
        ws='none',
        server_header=False,
        limit_concurrency=4 * limits.queue + 64,  # connections; for more there is only a short text
        timeout_graceful_shutdown=int(2 * limits.seconds),
    )
