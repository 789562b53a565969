"""`run.py refine`: refinement against a SOLO image, and what it needs on large images."""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cv2
import findable
import numpy as np
import torch
from inference import config_path, forget_peak, memory
from rich.console import Console
from rich.table import Table

from solo_bg import Instances, Segmenter
from solo_bg.draw.refine import REFINERS, load_refiner
from solo_bg.scenes import draw_scene


def refine(args: argparse.Namespace) -> None:
    """Time guided refinement against an image through SOLO, and all refinements on large images."""
    torch.set_num_threads(1)
    console = Console(width=120)
    height, width = args.size
    image, instances = scene(height, width)
    solo, guided, shares = against_solo(args.config, image, instances, args.rounds)
    console.print(
        f'{width}x{height}, processor seconds of one thread: {args.config} {solo:.3f}, guided refinement of '
        f'{len(instances)} objects {guided:.3f}, {statistics.median(shares):.1%} of it ({min(shares):.1%} to '
        f'{max(shares):.1%} in {len(shares)} rounds)',
        soft_wrap=True,
    )
    table = Table('', 'image', 'processor s', 'MB above image and masks', title='one thread')
    for size in args.large:
        for name in REFINERS:
            seconds, megabytes = in_a_process(name, size)
            table.add_row(name, size, f'{seconds:.2f}', f'{megabytes:.0f}')
    console.print(table)


def scene(height: int, width: int) -> tuple[torch.Tensor, Instances]:
    """A drawn scene, enlarged, and its objects."""
    drawn, masks = draw_scene(1)  # five objects on 39% of the image
    image = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_CUBIC)
    large = [cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR) > 0 for mask in masks]
    count = len(large)
    found = torch.from_numpy(np.stack(large)), torch.zeros(count).long(), torch.ones(count), ('object',)
    return torch.from_numpy(image), Instances(*found)


def against_solo(
    config: str, image: torch.Tensor, instances: Instances, rounds: int
) -> tuple[float, float, list[float]]:
    """Median seconds of SOLO with random weights, of guided refinement, and their ratio in each round."""
    with tempfile.TemporaryDirectory() as folder:
        weights = f'{folder}/weights.pth'
        findable.save_weights(config_path(config), weights, image.numpy(), 300)
        segmenter = Segmenter(config_path(config), weights, device='cpu')
    prepared, refiner = segmenter.prepare(image.numpy()), load_refiner('guided', {})
    pairs = [
        (seconds(lambda: segmenter.segment([prepared])), seconds(lambda: refiner(image, instances)))
        for _ in range(rounds + 1)
    ][1:]  # the first warms up
    solo, guided = (statistics.median(one) for one in zip(*pairs, strict=True))
    return solo, guided, [refined / segmented for segmented, refined in pairs]


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_a_process(name: str, size: str) -> tuple[float, float]:
    """Processor seconds of one refinement of an image of WIDTHxHEIGHT, and the most megabytes that it adds."""
    context = multiprocessing.get_context('spawn')
    pipe, other = context.Pipe()
    process = context.Process(target=refine_once, args=(other, name, size))
    process.start()
    other.close()  # so that a process which dies is noticed
    result = pipe.recv()
    process.join()
    return result


def refine_once(pipe: Connection, name: str, size: str) -> None:
    torch.set_num_threads(1)
    width, height = map(int, size.split('x'))
    refiner = load_refiner(name, {})
    refiner(*scene(120, 160))  # imports and compiles what is needed
    image, instances = scene(height, width)
    instances.opacity()
    device = torch.device('cpu')
    forget_peak(device)
    before = memory(device)
    used = seconds(lambda: refiner(image, instances))
    pipe.send((used, memory(device) - before))
