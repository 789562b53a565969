"""The server: what it adds to the time of an image, and its memory while several clients send images."""

import argparse
import itertools
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from solo_bg import Segmenter, bundled, eliminate_background
from solo_bg.disk.inputs import list_images
from solo_bg.disk.read import read_image

SIZE = 640, 480
FIELDS = {'styles': 'eliminated'}


def server(args: argparse.Namespace) -> None:
    """A 640x480 image through the server, against Python; and memory with several clients."""
    paths = [image.path for image in list_images([str(args.images)])][:50]
    photos = [encode(cv2.resize(read_image(path), SIZE, interpolation=cv2.INTER_AREA), '.jpg') for path in paths]
    with started('--device', args.device, *(['--source', args.source] if args.source else [])) as (process, address):
        if not args.source:
            added_time(photos, process.pid, address, args)
        under_load(photos, process.pid, address, args)


def encode(pixels: np.ndarray, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server as a process of its own, and its address."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, '-m', 'solo_bg', 'serve', '--port', str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f'http://127.0.0.1:{port}'
    try:
        while not is_ready(address):
            if process.poll() is not None:
                raise SystemExit(f'the server ended with {process.returncode}')
            time.sleep(0.2)
        yield process, address
    finally:
        process.terminate()
        process.wait()


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f'{address}/api/health', trust_env=False).is_success
    except httpx.TransportError:
        return False


def added_time(photos: list[bytes], pid: int, address: str, args: argparse.Namespace) -> None:
    """Print the median time of an image through Python and through the server; the two take turns."""
    segmenter = Segmenter(bundled.CONFIG, bundled.CHECKPOINT, args.device)
    client = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def through_python(photo: bytes) -> None:
        image: Any = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
        encode(eliminate_background(image, segmenter([image])[0].select(0.3)), '.png')

    def through_server(photo: bytes) -> None:
        client.post('/api/eliminate', files={'image': photo}, data=FIELDS)

    def measure(work: Callable[[bytes], None], pid: int, photo: bytes) -> tuple[float, float]:
        """Elapsed time and the processor time of a process, in ms."""
        start, before = time.perf_counter(), processor_time(pid)
        work(photo)
        return (time.perf_counter() - start) * 1e3, (processor_time(pid) - before) * 1e3

    here, there = [], []
    for photo in photos[:3] + photos[: 4 * args.rounds]:  # at the first three, memory is allocated and code loaded
        here.append(measure(through_python, os.getpid(), photo))
        there.append(measure(through_server, pid, photo))
    pairs = list(zip(here[3:], there[3:], strict=True))
    elapsed = [(one[0], other[0]) for one, other in pairs]
    report('elapsed', len(pairs), *(statistics.median(column) for column in zip(*elapsed, strict=True)))
    computed = [(one[1], other[1]) for one, other in pairs]  # counted in steps of 10 ms: only the mean says something
    report('processor', len(pairs), *(statistics.mean(column) for column in zip(*computed, strict=True)))


def report(kind: str, count: int, python: float, served: float) -> None:
    times = f'{python:.1f} ms through Python, {served:.1f} ms through the server, {served - python:+.1f} ms'
    print(f'{count} images, {kind} time: {times}', flush=True)


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have computed (Linux)."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def under_load(photos: list[bytes], pid: int, address: str, args: argparse.Namespace) -> None:
    """Print the statuses and the server's resident memory while clients send one image after the other."""
    statuses: Counter[int] = Counter()
    end, lock = time.monotonic() + args.seconds, threading.Lock()

    def client(first: int) -> None:
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as own:
            for photo in itertools.islice(itertools.cycle(photos), first, None):
                if time.monotonic() > end:
                    return
                path = '/api/segment' if first % 2 else '/api/eliminate'
                status = own.post(
                    path, files={'image': photo}, data={} if first % 2 else {**FIELDS, 'on_empty': 'black'}
                )
                with lock:
                    statuses[status.status_code] += 1

    threads = [threading.Thread(target=client, args=(index,)) for index in range(args.clients)]
    for thread in threads:
        thread.start()
    memory = []
    while any(thread.is_alive() for thread in threads):
        memory.append(resident(pid))
        time.sleep(0.5)
    later = memory[len(memory) // 3 :]
    middle = statistics.median(later)
    rate = statuses.total() / args.seconds
    print(f'{args.clients} clients, {args.seconds:.0f} s: statuses {dict(statuses)}, {rate:.1f}/s')
    print(
        f'resident memory after the first third: median {middle:.0f} MB, '
        f'{min(later) / middle - 1:+.1%} to {max(later) / middle - 1:+.1%}'
    )


def resident(pid: int) -> float:
    """Resident memory of a process in MB (Linux)."""
    fields = dict(line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines() if ':' in line)
    return int(fields['VmRSS'].split()[0]) / 1e3
