"""The web application: its paths, and what they answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp

from solo_bg.cli.fields import instance_fields, picture_fields
from solo_bg.cli.serving import Serving
from solo_bg.version import __version__
from solo_bg.web import schema
from solo_bg.web.answers import draw, find
from solo_bg.web.desk import Desk
from solo_bg.web.docs import docs_page
from solo_bg.web.engine import Engine
from solo_bg.web.errors import add_handlers, as_json
from solo_bg.web.guard import NOTHING, Guard, page_policy
from solo_bg.web.models import describe_loaded, known_models

PAGE = Path(__file__).with_name('page.html')
SCRIPT = re.compile(rb'<script[^>]*>(.*?)</script>', re.DOTALL)
WITH_STYLE = NOTHING + "; style-src 'unsafe-inline'"


def make_app(engine: Engine, serving: Serving) -> ASGIApp:
    """The application for one engine.

    Args:
        engine: it is started and stopped with the application.
        serving: the limits, the token, and the settings that requests start from.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with engine.running():
            yield

    app = FastAPI(
        title='solo_bg', version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description='Takes the background out of images, by the instances that a model finds.',
    )  # fmt: skip
    add_handlers(app)
    page = PAGE.read_bytes() if PAGE.is_file() else b''
    add_pages(app, page)
    add_facts(app, engine)
    add_work(app, Desk(engine, serving))
    policies = {'/': page_policy(script_hashes(page)), '/docs': WITH_STYLE}
    return Guard(app, serving.token, serving.limits, policies)


def script_hashes(page: bytes) -> str:
    """The scripts of a page, as a Content-Security-Policy allows them and no others."""
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in SCRIPT.findall(page))
    return ' '.join(f"'sha256-{digest}'" for digest in digests)


def add_pages(app: FastAPI, page: bytes) -> None:
    """The pages for people."""

    @app.get('/', include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type='text/html')

    @app.get('/docs', include_in_schema=False)
    async def docs() -> Response:
        return Response(docs_page(app.openapi()), media_type='text/html')


def add_facts(app: FastAPI, engine: Engine) -> None:
    """What the server says about itself."""
    loaded = describe_loaded(engine)

    @app.get(
        '/api/health',
        response_class=Response,
        responses=schema.responses({'application/json': schema.HEALTH}, schema.OF_HEALTH),
    )
    async def health() -> Response:
        """Whether the server can answer requests, its version, and the name of its model."""
        if engine.lost:
            raise engine.no_device()
        return as_json({'status': 'ok', 'version': __version__, 'model': loaded['name']})

    @app.get(
        '/api/models',
        response_class=Response,
        responses=schema.responses({'application/json': schema.MODELS}, schema.ALWAYS),
    )
    async def models() -> Response:
        """The model that is loaded, and the names of those that the server could be started with."""
        return as_json({'loaded': loaded, 'known': await asyncio.to_thread(known_models)})


def add_work(app: FastAPI, desk: Desk) -> None:
    """What the server is for."""
    choosing, drawing = instance_fields(), picture_fields()

    @app.post(
        '/api/segment',
        response_class=Response,
        responses=schema.responses({'application/json': schema.SEGMENTED}, schema.OF_FORMS),
        openapi_extra={'requestBody': schema.form(choosing)},
    )
    async def segment(request: Request) -> Response:
        """Find the instances of an image: class, score, box, mask and colour of each, and which is on top where."""
        return await desk.handle(request, choosing, find)

    @app.post(
        '/api/eliminate',
        response_class=Response,
        responses=schema.responses(dict.fromkeys(schema.PICTURES, schema.BINARY), schema.OF_FORMS),
        openapi_extra={'requestBody': schema.form(drawing)},
    )
    async def eliminate(request: Request) -> Response:
        """Draw pictures of an image, as eliminate_bg does: one style as a picture, several as a ZIP."""
        return await desk.handle(request, drawing, draw)
