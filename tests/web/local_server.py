"""A server in a thread of the test's own process, and forms to send to it."""

import contextlib
import threading
import time
from dataclasses import replace

import cv2
import httpx
import numpy as np
import uvicorn
from channels_source import Channels

from solo_bg.cli.serving import parse
from solo_bg.web.app import make_app
from solo_bg.web.engine import Engine
from solo_bg.web.listen import make_config

SOURCE = ['--source', 'channels_source:Channels', '--port', '0', '--workers', '2']


@contextlib.contextmanager
def running(source=None, *argv, **limits):
    """Serve; yield a client, whose `server` is uvicorn's."""
    serving = parse([*SOURCE, *argv])
    serving = replace(serving, limits=replace(serving.limits, **limits))
    engine = Engine(source or Channels(), serving.settings)
    server = uvicorn.Server(make_config(make_app(engine, serving), serving))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f'http://127.0.0.1:{port}', timeout=60, trust_env=False) as client:
            client.server, client.port, client.engine = server, port, engine
            yield client
    finally:
        server.should_exit = True
        thread.join()


def wait_until(happened, seconds=30):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(0.002)


def picture(seed=0, height=48, width=64):
    """Smooth spots of all colours, uint8 (H, W, 3)."""
    spots = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)


def png(pixels=None):
    return cv2.imencode('.png', picture() if pixels is None else pixels)[1].tobytes()


def send(client, path='segment', data=None, name='photo.png', **options):
    return client.post(f'/api/{path}', files={'image': (name, png() if data is None else data)}, data=options)


def error_of(response, status):
    """The error of a response, after a check of its form."""
    assert response.status_code == status, response.text
    assert response.headers['content-type'] == 'application/json'
    (name, error) = next(iter(response.json().items()))
    assert name == 'error' and error.keys() == {'given', 'expected', 'do'} and all(error.values())
    return error
