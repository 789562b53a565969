"""Read a request's form: the image, and the options as fields. Everything stays in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from solo_bg.cli.fields import Field, refused_names
from solo_bg.cli.serving import Limits
from solo_bg.draw.fills import COLOUR, FILLS
from solo_bg.runs.settings import Settings
from solo_bg.web.errors import WebError

IMAGE = 'image'
FORM = f'multipart/form-data with the image in the field {IMAGE!r}'
FIELD_BYTES = 64 << 10  # of the text of a field
MAX_FIELDS = 64
LARGEST = {'dilate': 256, 'band': 256, 'radius': 256}  # the time of an image grows with these


class InMemory(MultiPartParser):
    """A parser that writes no temporary file; the size of the body is limited as it arrives."""

    spool_max_size = 1 << 40


@dataclass(frozen=True)
class Form:
    """What a request holds.

    Attributes:
        data: the bytes of the image's file.
        name: the file's name, as the sender calls it. It seeds random fills, as in the command, and names nothing.
        texts: the other fields.
    """

    data: bytes
    name: str
    texts: Mapping[str, str]


async def read_form(request: Request, limits: Limits) -> Form:
    """Read the whole request.

    Raises:
        WebError: it is no form, too large, too slow, or its fields are not one image and texts.
    """
    kind = request.headers.get('content-type', '')
    if kind.partition(';')[0].strip().lower() != 'multipart/form-data':
        given = f'the content type {kind or "(none)"}'
        raise WebError(415, given, FORM, f"send a form, as curl -F '{IMAGE}=@photo.jpg' does")
    if request.url.query:
        do = 'move the options from the address into the form'
        raise WebError(422, f'the query {request.url.query[:200]!r}', 'options as fields of the form', do)
    arriving = up_to(request.stream(), limits.body)
    parser = InMemory(request.headers, arriving, max_files=1, max_fields=MAX_FIELDS, max_part_size=FIELD_BYTES)
    try:
        fields = await asyncio.wait_for(parser.parse(), limits.seconds)
    except asyncio.TimeoutError as error:
        given = f'a request that took longer than {limits.seconds:.0f} seconds to arrive'
        do = 'send a smaller image, or use a faster connection'
        raise WebError(408, given, 'all of it in this time', do, {'Connection': 'close'}) from error
    except (MultiPartException, UnicodeError) as error:
        reason = error.message if isinstance(error, MultiPartException) else str(error)
        raise WebError(
            400, f'a form that cannot be read ({reason})', FORM, 'send a form as RFC 7578 describes'
        ) from error
    return take_fields(fields.multi_items())


async def up_to(stream: AsyncGenerator[bytes, None], most: int) -> AsyncGenerator[bytes, None]:
    """Pass the chunks on. Raises WebError once they are longer than `most`."""
    arrived = 0
    async for chunk in stream:
        arrived += len(chunk)
        if arrived > most:
            raise too_large(f'more than {most} bytes', most)
        yield chunk


def too_large(given: str, most: int) -> WebError:
    do = 'send a smaller image, or start the server with a larger --max-body'
    return WebError(413, f'a request of {given}', f'at most {most} bytes', do, {'Connection': 'close'})


def take_fields(items: list[tuple[str, Any]]) -> Form:
    """The image and the texts among the fields. Raises WebError if one is missing, twice there or of the other kind."""
    texts: dict[str, str] = {}
    upload: UploadFile | None = None
    for name, value in items:
        name = printable(name)
        if name in texts or (name == IMAGE and upload):
            raise WebError(
                422, f'the field {name!r} twice', 'each field once', 'put several values into one field, with commas'
            )
        if name == IMAGE and isinstance(value, UploadFile):
            upload = value
        elif name == IMAGE or isinstance(value, UploadFile):
            kind = 'a file' if isinstance(value, UploadFile) else 'a text'
            raise WebError(422, f'{kind} in the field {name!r}', f'a file in the field {IMAGE!r} alone', 'see /docs')
        else:
            texts[name] = printable(value)
    if upload is None:
        raise WebError(422, f'no field {IMAGE!r}', FORM, f"add the image, as curl -F '{IMAGE}=@photo.jpg' does")
    file = upload.file
    return Form(file.read(), PurePosixPath(printable(upload.filename or '')).name or IMAGE, texts)


def printable(text: str) -> str:
    """A text that can be encoded, and shown in a message."""
    return text.encode(errors='replace').decode()


def read_settings(texts: Mapping[str, str], fields: Mapping[str, Field], base: Settings) -> Settings:
    """The settings with the options of a form.

    Raises:
        WebError: an option that does not exist here, or a value that it does not take.
        SetupError: options that exclude each other.
    """
    values = {}
    for name, text in texts.items():
        if name not in fields:
            where = 'an option of the command alone' if name in refused_names() else 'no option'
            known = ', '.join([IMAGE, *fields])
            raise WebError(422, f'the field {name[:100]!r}, {where}', f'fields among {known}', 'leave it out')
        try:
            values[name] = check_value(name, fields[name].read(text))
        except ValueError as error:
            given = f'{name}={text[:100]}'
            raise WebError(422, given, str(error), f'{name}: {fields[name].help}') from error
    return replace(base, **values)


def check_value(name: str, value: Any) -> Any:
    """The value, unless it names files or would take too long. Raises ValueError."""
    numbers = value if isinstance(value, dict) else {name: value}
    for key, number in numbers.items():
        if key in LARGEST and not float(number) <= LARGEST[key]:
            raise ValueError(f'{key} of at most {LARGEST[key]} in a server')
    fills = [value] if name == 'fill' else [fill for fill, _ in value] if name == 'mix' else []
    for fill in fills:
        if fill not in FILLS and not COLOUR.fullmatch(fill):
            raise ValueError(f'{", ".join(FILLS)} or R,G,B; a server opens no folder for a fill')
    return value
