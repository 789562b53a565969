"""`run.py inference`: stock mmdet and ours on the same weights and image.

Each has a process of its own; they take turns.
"""

import argparse
import gc
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import findable
import torch
from rich.console import Console
from rich.table import Table

from solo_bg import Segmenter
from solo_bg.disk.encode import encode_image
from solo_bg.disk.read import read_image
from solo_bg.draw.styles import load_style
from solo_bg.models import zoo
from solo_bg.models.device import PRECISIONS
from solo_bg.scenes import draw_scene

CASES = (
    'solo_r50_fpn_1x_coco:800x1088:300',
    'decoupled-solo_r50_fpn_1x_coco:800x1088:300',
    'decoupled-solo-light_r50_fpn_3x_coco:512x672:300',
    'solo_r50_fpn_1x_coco:2160x3840:300',
    'solo_r50_fpn_1x_coco:800x1088:0',
)
STAGES = ('read', 'prepare', 'backbone + FPN', 'head', 'decode', 'compose', 'encode')


@dataclass
class Way:
    """One way of predicting, as measured.

    Attributes:
        total: seconds an image of each round, from the prepared batch to its instances.
        stages: median seconds an image of each stage.
        loaded, peak: resident megabytes with the model loaded, and at most; on CUDA the allocator's.
    """

    name: str
    total: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    instances: int = 0
    loaded: float = 0.0
    peak: float = 0.0


def config_path(name: str) -> str:
    """A config file, or the name of one of mmdet's SOLO configs."""
    return name if name.endswith('.py') else str(zoo.find(name).config)


def serve(pipe: Connection, config: str, weights: str, image: str, options: dict[str, Any], batch_size: int) -> None:
    """The process of one way: load the model, then do a round each time the pipe asks for one."""
    segmenter = Segmenter(config, weights, **options)
    pixels = read_image(Path(image))
    prepared = [segmenter.prepare(pixels)] * batch_size
    gc.collect()
    forget_peak(segmenter.device)
    pipe.send(memory(segmenter.device))
    while pipe.recv():
        seconds = dict.fromkeys(STAGES, 0.0)
        forget_peak(segmenter.device)
        with timed(segmenter, seconds):
            start = now(segmenter.device)
            found = segmenter.segment(prepared)[0]
            total = now(segmenter.device) - start
        peak = memory(segmenter.device)
        seconds = {stage: value / batch_size for stage, value in seconds.items()}
        draw(segmenter, Path(image), found, seconds)
        pipe.send((total / batch_size, seconds, len(found), peak))
        del found  # or the next round's peak would have this one's masks in it


@contextmanager
def timed(segmenter: Segmenter, seconds: dict[str, float]) -> Iterator[None]:
    """Measure how long the model's parts take, by wrapping their methods."""
    model, head = segmenter.model, segmenter.model.mask_head
    decode = 'decode' if segmenter.lazy else 'predict_by_feat'
    predict = 'find' if segmenter.lazy else 'predict'
    methods = [(model, 'extract_feat', 'backbone + FPN'), (head, predict, 'head'), (head, decode, 'decode')]
    for owner, name, stage in methods:
        setattr(owner, name, watched(getattr(owner, name), stage, seconds, segmenter.device))
    yield
    for owner, name, _ in methods:
        delattr(owner, name)
    seconds['head'] -= seconds['decode']


def watched(
    method: Callable[..., Any], stage: str, seconds: dict[str, float], device: torch.device
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        start = now(device)
        result = method(*args, **kwargs)
        seconds[stage] += now(device) - start
        return result

    return call


def draw(segmenter: Segmenter, image: Path, found: Any, seconds: dict[str, float]) -> None:
    """The rest of the line for one image: read, prepare, compose, encode."""
    start = now(segmenter.device)
    pixels = read_image(image)
    seconds['read'], start = now(segmenter.device) - start, now(segmenter.device)
    segmenter.prepare(pixels)
    seconds['prepare'], start = now(segmenter.device) - start, now(segmenter.device)
    on_device = torch.from_numpy(pixels).to(segmenter.device)
    pictures = [load_style(style)(on_device, found).cpu().numpy() for style in ('eliminated', 'overlay')]
    seconds['compose'], start = now(segmenter.device) - start, now(segmenter.device)
    for picture in pictures:
        encode_image(picture, '.png')
    seconds['encode'] = now(segmenter.device) - start


def now(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def memory(device: torch.device) -> float:
    """The most megabytes in use since `forget_peak`: of the process (from Linux), or of CUDA's allocator."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path('/proc/self/status').read_text()
    return int(status.partition('VmHWM:')[2].split()[0]) / 1e3


def forget_peak(device: torch.device) -> None:
    """Reset the peak that `memory` reports to what is in use now."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path('/proc/self/clear_refs').write_text('5')


def measure(case: str, args: argparse.Namespace, folder: Path) -> list[Way]:
    """One case: a process for each way, a round of each in turn."""
    name, size, candidates = case.split(':')
    height, width = map(int, size.split('x'))
    config, weights, image = config_path(name), str(folder / 'weights.pth'), str(folder / 'image.png')
    scene = cv2.resize(draw_scene(7)[0], (width, height))
    cv2.imwrite(image, scene)
    fit = min(1.0, 800 / min(height, width))  # cells are counted at about the size that the model sees
    findable.save_weights(config, weights, cv2.resize(scene, None, fx=fit, fy=fit), max(int(candidates), 1))
    options: dict[str, dict[str, Any]] = {'mmdet fp32': {'lazy': False, 'precision': 'fp32'}}
    options |= {f'ours {precision}': {'precision': precision} for precision in args.precisions}
    if candidates == '0':
        for given in options.values():
            given['cfg_options'] = {'model.test_cfg.score_thr': 0.9999}
    context = multiprocessing.get_context('spawn')
    ways, pipes, processes = [Way(name) for name in options], [], []
    for way, given in zip(ways, options.values(), strict=True):
        pipe, other = context.Pipe()
        arguments = (other, config, weights, image, {'device': args.device, **given}, args.batch_size)
        processes.append(context.Process(target=serve, args=arguments))
        processes[-1].start()
        other.close()  # so that a process which dies is noticed
        pipes.append(pipe)
        way.loaded = pipe.recv()
    rounds: list[list[dict[str, float]]] = [[] for _ in ways]
    for index in range(args.rounds + 1):  # the first warms up
        for way, pipe, stages in zip(ways, pipes, rounds, strict=True):
            pipe.send(True)
            total, seconds, way.instances, peak = pipe.recv()
            way.peak = max(way.peak, peak)
            if index:
                way.total.append(total)
                stages.append(seconds)
    for way, pipe, process, stages in zip(ways, pipes, processes, rounds, strict=True):
        pipe.send(False)
        process.join()
        way.stages = {stage: statistics.median(one[stage] for one in stages) for stage in STAGES}
    return ways


def product_rate(precision: str, device: str) -> float:
    """GFLOP/s of torch's matrix products, the median of ten: an upper bound for convolutions."""
    one = torch.rand(2048, 2048, device=device).to(PRECISIONS[precision])
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        float((one @ one)[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(seconds[2:]) / 1e9


def inference(args: argparse.Namespace) -> None:
    """Time one image through SOLO, with random weights, against stock mmdet."""
    assert set(args.precisions) <= set(PRECISIONS), f'precisions are {", ".join(PRECISIONS)}'
    console, results = Console(width=150), {}
    hardware = torch.cuda.get_device_name() if args.device.startswith('cuda') else f'{torch.get_num_threads()} threads'
    console.print(f'{platform.processor() or platform.machine()}, {hardware}, torch {torch.__version__}')
    rates = ', '.join(
        f'{one} {product_rate(one, args.device):.0f}' for one in dict.fromkeys(['fp32', *args.precisions])
    )
    console.print(f'products of 2048x2048 matrices, GFLOP/s: {rates}')
    for case in args.cases:
        with tempfile.TemporaryDirectory() as folder:
            results[case] = measure(case, args, Path(folder))
        console.print(make_table(case, results[case]))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    written = {case: [asdict(way) for way in ways] for case, ways in results.items()}
    args.json.write_text(json.dumps({'hardware': hardware, 'batch_size': args.batch_size, 'cases': written}, indent=1))
    draw_bars(results, args.picture)
    print(f'wrote {args.json} and {args.picture}')


def make_table(case: str, ways: list[Way]) -> Table:
    table = Table('', 'seconds', 'spread', 'times', 'total MB', 'above the model', *STAGES, 'over backbone', title=case)
    stock = ways[0]
    for way in ways:
        ratio = statistics.median(one / other for one, other in zip(stock.total, way.total, strict=True))
        total = statistics.median(way.total)
        table.add_row(
            f'{way.name} ({way.instances})',
            f'{total:.3f}',
            f'{min(way.total):.3f}-{max(way.total):.3f}',
            f'{ratio:.2f}x',
            f'{way.peak:.0f}',  # with the weights, which optimise() changes
            f'{way.peak - way.loaded:.0f}',
            *(f'{way.stages[stage]:.3f}' for stage in STAGES),
            f'{total / way.stages["backbone + FPN"]:.2f}',
        )
    return table


def draw_bars(results: dict[str, list[Way]], path: Path) -> None:
    """Draw the seconds per image: a bar for each way, a colour for each stage."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(results), figsize=(9, 1.7 * len(results) + 0.6), squeeze=False)
    for axis, (case, ways) in zip(axes[:, 0], results.items(), strict=True):
        left = [0.0] * len(ways)
        for stage in STAGES:
            widths = [way.stages[stage] for way in ways]
            axis.barh([way.name for way in ways], widths, left=left, label=stage)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axis.invert_yaxis()
        axis.set_title(case, fontsize=9)
    axes[-1, 0].set_xlabel('seconds an image')
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc='lower center', ncols=len(STAGES), fontsize=7)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
