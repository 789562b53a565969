"""Connections whose requests must arrive in time, whether it is the headers or the body that is slow."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """A protocol of uvicorn's that closes a connection on which a request takes longer than this to arrive.

    The application limits the body's time itself and answers with an error; this is for headers, and for what still
    arrives after an error.
    """

    class TimedProtocol(H11Protocol):
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.wait_for_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
                self.wait_for_request()
            else:
                self.stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_waiting()
            super().connection_lost(exc)

        def wait_for_request(self) -> None:
            if self.deadline is None:
                self.deadline = self.loop.call_later(seconds, self.transport.abort)

        def stop_waiting(self) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

    return TimedProtocol
