"""`python -m solo_bg serve`: load the model, then answer requests until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from solo_bg.cli.main import fail, set_up_process
from solo_bg.cli.serving import Serving, parse
from solo_bg.errors import SetupError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server. Returns the exit code: 0 stopped, 1 the device was lost, 2 nothing could start."""
    serving = parse(sys.argv[1:] if argv is None else argv)
    set_up_process()
    try:
        return serve(serving)
    except SetupError as error:
        return fail(error)


def serve(serving: Serving) -> int:
    """Load the model and serve. A signal ends it: requests that have arrived are answered first."""
    try:
        import uvicorn

        from solo_bg.web.app import make_app
        from solo_bg.web.listen import make_config
    except ImportError as error:
        raise SetupError(f'the server lacks a library ({error}); pip install "solo_bg[web]"') from error
    from solo_bg.runs import assemble
    from solo_bg.runs.shards import WHOLE
    from solo_bg.web.engine import Engine

    check_address(serving.host, serving.port)  # before the model is loaded, which takes seconds
    assemble.set_threads(serving.settings.threads, WHOLE)
    with ThreadPoolExecutor(1) as loader:  # its OpenMP team ends with it; two teams on too few cores would only sleep
        source = loader.submit(assemble.make_source, serving.settings, None).result()
    engine = Engine(source, serving.settings)
    server = uvicorn.Server(make_config(make_app(engine, serving), serving))
    engine.on_lost = lambda: setattr(server, 'should_exit', True)  # whoever watches the process starts it again
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn drains, then raises the signal once more
        signal.signal(number, lambda number, frame: None)
    server.run()
    return 1 if engine.lost else 0


def check_address(host: str, port: int) -> None:
    """Raise SetupError unless the server can listen there."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ':' in host else socket.AF_INET).close()
    except OSError as error:
        raise SetupError(f'cannot listen on {host}, port {port} ({error.strerror}); choose another one') from error
