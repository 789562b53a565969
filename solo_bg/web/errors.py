"""Errors of a request, as JSON: what was given, what was expected, and what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from solo_bg.errors import ImageError, SetupError
from solo_bg.records import Record

log = logging.getLogger('solo_bg')
READABLE = 'an image file that can be read whole: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000'
RETRY_AFTER = '2'  # seconds
CLIENT_LEFT = 499  # a status that nobody receives; nginx writes it into its log in this case


class WebError(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP, 4xx or 503.
        given: what the request had.
        expected: what it should have.
        do: what the sender can do.
    """

    def __init__(
        self, status: int, given: str, expected: str, do: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f'{given}; expected {expected}')
        self.status = status
        self.content = {'error': {'given': given, 'expected': expected, 'do': do}}
        self.headers = dict(headers or {})

    def response(self) -> Response:
        return as_json(self.content, self.status, self.headers)


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response in ASCII, which can also hold text that is no valid Unicode."""
    return Response(json.dumps(content), status, dict(headers or {}), 'application/json')


def busy(given: str, expected: str) -> WebError:
    """A 503 that tells the sender when to try again."""
    do = f'send it again in {RETRY_AFTER} seconds or later'
    return WebError(503, given, expected, do, {'Retry-After': RETRY_AFTER})


def bad_image(reason: str) -> WebError:
    """The error of an image that cannot be read or processed. `reason` is a sentence without its subject."""
    given = reason if reason.startswith('memory ran out') else f'a file that {reason}'
    return WebError(422, given, READABLE, 'send another file, or save this one as JPEG or PNG')


def raise_failed(record: Record) -> NoReturn:
    """Raise the error that a stage of the pipeline noted in a record."""
    if record.traceback:
        log.error('unexpected error of a request:\n%s', record.traceback)
        raise RuntimeError(record.error)
    raise bad_image(str(record.error))


def add_handlers(app: FastAPI) -> None:
    """Answer every error in the same form."""

    @app.exception_handler(WebError)
    async def on_web_error(request: Request, error: WebError) -> Response:
        return error.response()

    @app.exception_handler(ImageError)
    async def on_image_error(request: Request, error: ImageError) -> Response:
        return bad_image(str(error)).response()

    @app.exception_handler(SetupError)
    async def on_setup_error(request: Request, error: SetupError) -> Response:
        return bad_options(error).response()

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        return http_error(request, error).response()

    @app.exception_handler(MemoryError)
    async def on_memory_error(request: Request, error: MemoryError) -> Response:
        return busy('a request for which memory ran out', 'enough free memory').response()

    @app.exception_handler(ClientDisconnect)
    async def on_leaving(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_LEFT)

    @app.exception_handler(Exception)
    async def on_unexpected_error(request: Request, error: Exception) -> Response:
        given = f'{request.method} {request.url.path}'
        do = "try again; the server's log has the reason"
        return WebError(500, given, 'an answer, but the server has a fault', do).response()


def bad_options(error: SetupError) -> WebError:
    """Options that are allowed by themselves, but not together or not here."""
    given, _, expected = str(error).partition('; ')
    return WebError(422, given, expected or 'options as eliminate_bg --help describes them', 'change the options')


def http_error(request: Request, error: HTTPException) -> WebError:
    """An error of the framework, such as a path that does not exist."""
    given = f'{request.method} {request.url.path}'
    expected = 'a path and a method that /docs lists' if error.status_code in (404, 405) else str(error.detail)
    phrase = HTTPStatus(error.status_code).phrase
    return WebError(error.status_code, f'{given} ({phrase})', expected, 'see /docs', error.headers)
