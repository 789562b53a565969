"""`python -m solo_bg serve`: load the model, then answer requests until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

from solo_bg.cli.main import fail, set_up_terminal
from solo_bg.cli.serving import Serving, parse
from solo_bg.errors import SetupError

log = logging.getLogger('solo_bg')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server. Returns the exit code: 0 stopped, 2 nothing could start."""
    serving = parse(sys.argv[1:] if argv is None else argv)
    set_up_terminal()
    try:
        return serve(serving)
    except SetupError as error:
        return fail(error)


def serve(serving: Serving) -> int:
    """Load the model and serve. A signal ends it: requests that have arrived are answered first."""
    try:
        import uvicorn

        from solo_bg.web.app import make_app
        from solo_bg.web.protocol import timed_protocol
    except ImportError as error:
        raise SetupError(f'the server lacks a library ({error}); pip install "solo_bg[web]"') from error
    from solo_bg.runs import assemble
    from solo_bg.runs.shards import WHOLE
    from solo_bg.web.engine import Engine

    settings, limits = serving.settings, serving.limits
    assemble.set_threads(settings.threads, WHOLE)
    engine = Engine(assemble.make_source(settings, None), settings)
    config = uvicorn.Config(
        make_app(engine, serving),
        serving.host,
        serving.port,
        http=timed_protocol(2 * limits.seconds),
        ws='none',
        server_header=False,
        limit_concurrency=4 * limits.queue + 64,  # connections; beyond them even an error would cost too much
        timeout_graceful_shutdown=int(2 * limits.seconds),
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn drains, then raises the signal once more
        signal.signal(number, lambda number, frame: None)
    uvicorn.Server(config).run()
    return 0
