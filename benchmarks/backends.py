"""`run.py backends`: the same SOLO with its convolutions in torch, OpenVINO and onnxruntime.

Each way has a process of its own; they take turns, first with the machine as it is, then beside a busy process. Idle
OpenMP threads soon sleep, as in the command (`GOMP_SPINCOUNT=100`), except in the way `spinning`.
"""

import argparse
import io
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import findable
import numpy as np
import torch
from inference import config_path
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn

from solo_bg import Segmenter
from solo_bg.disk.read import read_image
from solo_bg.scenes import draw_scene
from solo_bg.solo import compiled

CASES = (
    'solo_r50_fpn_1x_coco:800x1088',
    'decoupled-solo_r50_fpn_1x_coco:800x1088',
    'decoupled-solo-light_r50_fpn_3x_coco:512x672',
)
WAYS = ('torch fp32', 'torch fp32 spinning', 'openvino fp32', 'openvino bf16', 'onnxruntime fp32')
STATES = ('alone', 'beside a busy process')


@dataclass
class Way:
    """One way of computing, with its process and, for each state of the machine, its wall and CPU seconds an image."""

    name: str
    pipe: Connection
    process: BaseProcess
    wall: dict[str, list[float]] = field(default_factory=lambda: {state: [] for state in STATES})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {state: [] for state in STATES})
    start: float = 0.0
    instances: int = 0


def serve(pipe: Connection, config: str, weights: str, image: str, way: str) -> None:
    """The process of one way: load the model, then find an image's instances each time the pipe asks for it."""
    backend, precision = way.split()[:2]
    if backend == 'onnxruntime':
        compiled.openvino_network = onnx_network
    start = time.process_time()
    given = 'torch' if backend == 'torch' else 'openvino'
    segmenter = Segmenter(config, weights, 'cpu', precision=precision, backend=given)
    pipe.send(time.process_time() - start)
    prepared = [segmenter.prepare(read_image(Path(image)))]
    while pipe.recv():
        wall, cpu = time.perf_counter(), time.process_time()
        found = segmenter.segment(prepared)[0]
        pipe.send((time.perf_counter() - wall, time.process_time() - cpu, len(found)))


def onnx_network(module: nn.Module, shape: Sequence[int], precision: str) -> compiled.Network:
    """As `compiled.openvino_network`, for onnxruntime."""
    import onnxruntime

    file: Any = io.BytesIO()
    axes = {0: 'batch', 2: 'height', 3: 'width'}
    example = torch.zeros(*shape)
    with torch.no_grad():
        count = len(compiled.as_tuple(module(example)))
    names = [f'map{index}' for index in range(count)]
    dynamic = dict.fromkeys(['image', *names], axes)
    torch.onnx.export(module, (example,), file, input_names=['image'], output_names=names, dynamic_axes=dynamic,
                      dynamo=False)  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=['CPUExecutionProvider'])

    def run(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return list(session.run(names, {'image': x}))

    return run


def spin() -> None:
    while True:
        pass


@contextmanager
def busy(context: Any, wanted: bool) -> Iterator[None]:
    """Keep one core busy with another process."""
    process = context.Process(target=spin, daemon=True)
    if wanted:
        process.start()
    try:
        yield
    finally:
        if wanted:
            process.terminate()
            process.join()


@contextmanager
def idle_threads(spin_a_while: bool) -> Iterator[None]:
    """Set how long idle OpenMP threads spin in processes started inside; OpenMP reads it when torch is loaded."""
    before = {name: os.environ.pop(name, None) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')}
    if not spin_a_while:
        os.environ['GOMP_SPINCOUNT'] = '100'
    try:
        yield
    finally:
        os.environ.pop('GOMP_SPINCOUNT', None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def start_ways(context: Any, names: Sequence[str], files: tuple[str, str, str]) -> list[Way]:
    """Start a process for each way, one after the other, and wait until it has loaded the model."""
    ways = []
    for name in names:
        pipe, other = context.Pipe()
        process = context.Process(target=serve, args=(other, *files, name))
        with idle_threads(spin_a_while=name.endswith('spinning')):
            process.start()
        other.close()
        ways.append(Way(name, pipe, process))
        ways[-1].start = pipe.recv()
    return ways


def measure(case: str, args: argparse.Namespace, folder: Path) -> list[Way]:
    name, _, size = case.partition(':')
    height, width = map(int, size.split('x'))
    config, weights, image = config_path(name), str(folder / 'weights.pth'), str(folder / 'image.png')
    scene = cv2.resize(draw_scene(7)[0], (width, height))
    cv2.imwrite(image, scene)
    findable.save_weights(config, weights, scene, args.candidates)
    context = multiprocessing.get_context('spawn')
    ways = start_ways(context, args.ways, (config, weights, image))
    for state in STATES:
        with busy(context, state != STATES[0]):
            for index in range(args.rounds + 1):  # the first warms up
                for way in ways:
                    way.pipe.send(True)
                    wall, cpu, way.instances = way.pipe.recv()
                    if index:
                        way.wall[state].append(wall)
                        way.cpu[state].append(cpu)
    for way in ways:
        way.pipe.send(False)
        way.process.join()
    return ways


def backends(args: argparse.Namespace) -> None:
    """Time one image through SOLO, with random weights, with its convolutions in torch, OpenVINO and onnxruntime."""
    console = Console(width=150)
    known = compiled.openvino_precisions()
    args.ways = [way for way in args.ways if not way.startswith('openvino') or way.split()[1] in known]
    cpu = compiled.import_openvino().Core().get_property('CPU', 'FULL_DEVICE_NAME')
    console.print(f'{cpu}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads')
    console.print(f'load average {os.getloadavg()[0]:.1f}; OpenVINO has {", ".join(known)}')
    for case in args.cases:
        with tempfile.TemporaryDirectory() as folder:
            console.print(make_table(case, measure(case, args, Path(folder))))


def make_table(case: str, ways: list[Way]) -> Table:
    table = Table(
        '', 'to load, CPU s', *(f'{state}, {kind} s' for state in STATES for kind in ('wall', 'CPU')), title=case
    )
    for way in ways:
        figures = [statistics.median(kind[state]) for state in STATES for kind in (way.wall, way.cpu)]
        table.add_row(f'{way.name} ({way.instances})', f'{way.start:.1f}', *(f'{one:.2f}' for one in figures))
    return table
