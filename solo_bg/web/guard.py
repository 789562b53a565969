"""What every request passes before the application sees it, and the headers that every response has."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from solo_bg.cli.serving import Limits, is_local
from solo_bg.web.errors import WebError, busy
from solo_bg.web.forms import too_large

log = logging.getLogger('solo_bg')
OPEN = ('/', '/api/health', '/docs', '/openapi.json')  # paths that need no token; they tell nothing about images
PART = 256 << 10  # bytes of an answer that are handed to the connection at once
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
}


class Guard:
    """Refuses requests from other sites, without the token, with too large a Content-Length, or beyond the queue.

    Args:
        app: the application.
        token: what requests must carry as `Authorization: Bearer TOKEN`; None: only this machine's are answered.
        limits: on the body and the queue.
        policies: path -> Content-Security-Policy; other paths allow nothing.

    Attributes:
        present: requests that are being received, wait, are worked on or answered.
    """

    def __init__(self, app: ASGIApp, token: str | None, limits: Limits, policies: Mapping[str, str]) -> None:
        self.app, self.token, self.limits, self.policies = app, token, limits, policies
        self.present = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers['Content-Security-Policy'] = self.policies.get(scope['path'], NOTHING)
            for part in in_parts(message):
                await send(part)

        try:
            self.check(scope, Headers(scope=scope))
            with self.place() if scope['method'] == 'POST' else nullcontext():
                await self.app(scope, receive, send_safely)
        except WebError as error:  # the application answers its own
            await error.response()(scope, receive, send_safely)
        except Exception:  # the application has answered with a 500; raised further, it would cost the connection
            log.exception('a request to %s failed', scope['path'])

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, held until the answer is on its way. Raises WebError if all are taken."""
        if self.present >= self.limits.queue:
            raise busy('one request too many', f'at most {self.limits.queue} at the same time')
        self.present += 1
        try:
            yield
        finally:
            self.present -= 1

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise WebError for a request that is not let in."""
        if self.token is None:
            check_host(headers)
        elif scope['path'] not in OPEN:
            check_bearer(headers, self.token)
        if scope['method'] == 'POST' and headers.get('sec-fetch-site') == 'cross-site':
            raise WebError(
                403, 'a request that another site sent', "this server's own page", 'open / and send it there'
            )
        length = headers.get('content-length', '0')
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise WebError(400, f'the Content-Length {length!r}', 'a number of bytes', 'leave it to your client')
        if int(length) > self.limits.body:
            raise too_large(f'{length} bytes', self.limits.body)


def in_parts(message: Message) -> Iterator[Message]:
    """The message in parts, the next of which is sent when the client has taken most of those before it. So an answer
    that nobody reads keeps its place in the queue."""
    body = message.get('body', b'')
    for first in range(0, len(body), PART):
        last = first + PART >= len(body)
        yield {**message, 'body': body[first : first + PART], 'more_body': not last or message.get('more_body', False)}
    if not body:
        yield message


def check_host(headers: Headers) -> None:
    """Raise WebError unless the request names this machine: a page of another site could have rebound its own name."""
    host = headers.get('host', '')
    name = host.rpartition(':')[0] if host.rpartition(':')[2].isdigit() else host
    if not is_local(name.strip('[]')):
        do = 'use http://127.0.0.1, or start the server with --token'
        raise WebError(403, f'the host {host[:100]!r}', 'localhost, as there is no token', do)


def check_bearer(headers: Headers, token: str) -> None:
    """Raise WebError unless the request carries the token."""
    scheme, _, given = headers.get('authorization', '').partition(' ')
    if scheme.lower() != 'bearer' or not hmac.compare_digest(given.strip().encode(), token.encode()):
        what = 'another token' if given else 'no token'
        do = 'add the header, with the --token of the server'
        raise WebError(401, what, 'Authorization: Bearer TOKEN', do, {'WWW-Authenticate': 'Bearer'})


def page_policy(hashes: str) -> str:
    """The Content-Security-Policy of the page: its own script and style, and nothing from other hosts."""
    allowed: dict[str, Any] = {
        'default-src': "'none'",
        'script-src': hashes or "'none'",
        'style-src': "'unsafe-inline'",
        'img-src': "'self' blob: data:",
        'connect-src': "'self' blob: data:",
        'worker-src': 'blob:',
        'base-uri': "'none'",
        'form-action': "'self'",
        'frame-ancestors': "'none'",
    }
    return '; '.join(f'{name} {value}' for name, value in allowed.items())
