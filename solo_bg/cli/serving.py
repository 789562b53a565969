"""Parse the command line of `python -m solo_bg serve`. Imports nothing heavy."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from solo_bg import bundled
from solo_bg.cli import arguments
from solo_bg.cli.values import count, take_pairs
from solo_bg.errors import SetupError
from solo_bg.runs.settings import Settings
from solo_bg.sources import SOURCES, choose_source

TOKEN_VARIABLE = 'SOLO_BG_TOKEN'
MAX_PIXELS = 50_000_000  # of an image; a camera of 48 megapixels still passes
WITH_ANNOTATIONS = ('gt', 'union')  # the sources that a server cannot have
# options of the command that are the server's own
OPTIONS = (
    *('--source', '--source-options', '--device', '--batch-size', '--workers', '--threads'),
    *('--precision', '--backend', '--stock-head', '--cfg-options', '--trust-checkpoint', '--max-pixels', '--tiles'),
)


@dataclass(frozen=True)
class Limits:
    """What the server takes at most.

    Attributes:
        body: bytes of a request.
        queue: requests that are received, wait or are worked on at the same time; further ones get a 503.
        seconds: time for receiving a request, and again for answering it.
    """

    body: int = 32_000_000
    queue: int = 32
    seconds: float = 60.0


@dataclass(frozen=True)
class Serving:
    """Where and what to serve. `settings` holds the model and the defaults of the requests' options."""

    settings: Settings
    host: str = '127.0.0.1'
    port: int = 5003
    token: str | None = None
    limits: Limits = Limits()


def parse(argv: Sequence[str]) -> Serving:
    """Parse the options of the server. Exits with 2 at an error, as argparse does."""
    parser = build_parser()
    rest, cfg_options = take_pairs(argv, '--cfg-options', parser)
    rest, source_options = take_pairs(rest, '--source-options', parser)
    args = parser.parse_intermixed_args(rest)
    args.cfg_options, args.source_options = cfg_options, dict(pair.split('=', 1) for pair in source_options)
    try:
        args.config, args.checkpoint = split_model(args.paths, args.source)
        known = {one.name for one in fields(Settings)}
        settings = Settings(inputs=(), **{name: value for name, value in vars(args).items() if name in known})
        token = args.token or os.environ.get(TOKEN_VARIABLE) or None
        check_token(token, args.host)
    except SetupError as error:
        parser.error(str(error))
    limits = Limits(args.max_body * 1_000_000, args.queue, float(args.timeout))
    return Serving(settings, args.host, args.port, token, limits)


def build_parser() -> argparse.ArgumentParser:
    parser = arguments.OneLineParser(
        prog='python -m solo_bg serve',
        allow_abbrev=False,
        usage='%(prog)s [options] [CONFIG CHECKPOINT]',
        description='Serve a page and an API that take the background out of images.',
        epilog='Exit code: 0 stopped by SIGTERM or Ctrl-C, 1 the device was lost, 2 nothing could start.',
    )
    parser.add_argument(
        'paths',
        nargs='*',
        metavar='CONFIG CHECKPOINT',
        help="mmdet config (Python code: use only configs you trust) or a model's name; its weights, or `auto` "
        '(default: the bundled model)',
    )
    add_server(parser.add_argument_group('the server'))
    group = parser.add_argument_group('the model, as in eliminate_bg --help')

    names = ', '.join(name for name in SOURCES if name not in WITH_ANNOTATIONS)
    sources = f'source of the masks: {names}, or module:Class (default: the one that CONFIG names, else model)'

    def option(*flags: str, **described: Any) -> Any:
        if flags[-1] == '--source':
            described.update(help=sources)
        if flags[-1] == '--max-pixels':
            described.update(
                default=MAX_PIXELS, help=described['help'].replace(str(described['default']), str(MAX_PIXELS))
            )
        return group.add_argument(*flags, **described) if flags[-1] in OPTIONS else None

    for add in (arguments.add_choices, arguments.add_outputs, arguments.add_progress, arguments.add_expert):
        add(option)
    return parser


def add_server(group: Any) -> None:
    option, limits = group.add_argument, Limits()
    option('--host', default='127.0.0.1', metavar='H', help='address to listen on (default: 127.0.0.1, this machine)')
    option('--port', type=port, default=5003, metavar='N', help='port to listen on (default: 5003)')
    tokens = f'secret that requests must carry; needed for a --host other than this machine (or set {TOKEN_VARIABLE})'
    option('--token', metavar='T', help=tokens)
    body = limits.body // 1_000_000
    option('--max-body', type=count, default=body, metavar='MB', help=f'largest request, in MB (default: {body})')
    queue = f'requests at the same time; further ones get status 503 (default: {limits.queue})'
    option('--queue', type=count, default=limits.queue, metavar='N', help=queue)
    timeout = f'seconds to receive a request, and again to answer it (default: {limits.seconds:.0f})'
    option('--timeout', type=count, default=int(limits.seconds), metavar='S', help=timeout)


def split_model(paths: Sequence[str], source: str | None) -> tuple[str, str]:
    """CONFIG and CHECKPOINT among the positional arguments; by default the bundled model's."""
    _, kind = choose_source(source, paths[0] if paths else '')
    if kind.needs_annotations:
        raise SetupError(f'--source {source} takes its masks from annotations, which a server does not have')
    if len(paths) not in ((0, 2) if kind.needs_model else (0,)):
        wanted = 'CONFIG CHECKPOINT, or neither for the bundled model' if kind.needs_model else 'no model'
        raise SetupError(f'expected {wanted}; got {" ".join(paths)}')
    if not kind.needs_model:
        return '', ''
    return (paths[0], paths[1]) if paths else (str(bundled.CONFIG), str(bundled.CHECKPOINT))


def check_token(token: str | None, host: str) -> None:
    """Raise SetupError where other machines could reach a server without a token."""
    if token is None and not is_local(host):
        raise SetupError(
            f'--host {host} can be reached from other machines; expected a --token, which their requests must carry'
        )
    if token is not None and not (token.isascii() and token.isprintable() and ' ' not in token):
        raise SetupError('--token expected printable ASCII characters without spaces')


def is_local(host: str) -> bool:
    """Whether an address belongs to this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


def port(text: str) -> int:
    """A port; 0 lets the system choose one."""
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 65535, got {text!r}')
    return number
