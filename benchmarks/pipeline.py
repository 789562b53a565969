"""`run.py pipeline`, `processes`, `growth` and `agreement`: many images."""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import findable
import numpy as np
import reference
import torch
from inference import config_path
from rich.console import Console
from rich.table import Table

from solo_bg import Instances, Segmenter, bundled
from solo_bg import pipeline as line
from solo_bg.disk.inputs import ImageFile, list_images
from solo_bg.disk.read import read_image
from solo_bg.options import Options
from solo_bg.runs.journal import Journal
from solo_bg.sources.detector import Detector

Work = Callable[[Sequence[ImageFile]], None]
COMMAND = sys.executable, '-m', 'solo_bg'
TINY = str(bundled.CONFIG), str(bundled.CHECKPOINT)


def pipeline(args: argparse.Namespace) -> None:
    """Measure images per second from disk to disk, against a loop over mmdet's inferencer."""
    images = list_images([str(args.images)])[: args.limit]
    config = config_path(args.config)
    with tempfile.TemporaryDirectory() as folder:
        weights, out = f'{folder}/weights.pth', Path(folder) / 'out'
        score_thr = make_weights(config, weights, images[0], args.candidates)
        ways = {'mmdet': plain_loop(config, weights, args.device, out, score_thr)}
        for one in args.precisions:
            segmenter = Segmenter(config, weights, args.device, precision=one)
            ways[f'ours {one}'] = our_line(segmenter, out, score_thr)
            ways[f'the model alone, {one}'] = model_alone(segmenter, images)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way(images[:1])  # warms up
        for _ in range(args.rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                way(images)
                seconds[name].append(time.perf_counter() - start)
    table = Table('disk to disk', 'images/s', 'times', 'on top of the model')
    for name, taken in seconds.items():
        alone = seconds.get(name.replace('ours', 'the model alone,'), taken)
        top = f'{ratio(taken, alone) - 1:.1%}' if alone is not taken else ''
        times = f'{ratio(seconds["mmdet"], taken):.2f}x'
        table.add_row(name, f'{len(images) / statistics.median(taken):.3f}', times, top)
    Console().print(f'{len(images)} images, {args.rounds} rounds, {torch.get_num_threads()} threads', table)


def make_weights(config: str, weights: str, image: ImageFile, candidates: int) -> float:
    """Save random weights with which `candidates` cells of an image pass; return a score that ten instances exceed."""
    pixels = read_image(image.path)
    fit = 800 / min(pixels.shape[:2])  # the size that the model sees
    findable.save_weights(config, weights, cv2.resize(pixels, None, fx=fit, fy=fit), candidates)
    return float(Segmenter(config, weights, 'cpu')([pixels])[0].scores[:10][-1])


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median over the rounds of one time divided by the other."""
    return statistics.median(first / second for first, second in zip(one, other, strict=True))


def repeated(images: Path, count: int, folder: Path) -> Path:
    """Make a folder of `count` links to the images of a folder, repeated as often as needed."""
    sources = [Path(image.path).resolve() for image in list_images([str(images)])]
    folder.mkdir()
    for index in range(count):
        source = sources[index % len(sources)]
        (folder / f'{index:06d}{source.suffix}').symlink_to(source)
    return folder


def plain_loop(config: str, weights: str, device: str, out: Path, score_thr: float) -> Work:
    """mmdet's inferencer, then the rules written plainly, one image at a time."""
    from mmdet.apis import inference_detector, init_detector

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = init_detector(config, weights, device=device)

    def work(images: Sequence[ImageFile]) -> None:
        out.mkdir(exist_ok=True)
        for index, image in enumerate(images):
            pixels = read_image(image.path)
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                found = inference_detector(model, pixels).pred_instances.cpu().numpy()
            keep = found.scores > score_thr
            masks, labels, scores = found.masks[keep].astype(bool), found.labels[keep].astype(int), found.scores[keep]
            if keep.any():
                classes = [str(label) for label in range(80)]
                shown = reference.show_result_ins(pixels, masks, labels, scores, classes)
                cv2.imwrite(str(out / f'{index}_overlay.png'), shown)
                cv2.imwrite(str(out / f'{index}.png'), reference.eliminate(pixels, masks))

    return work


def our_line(segmenter: Segmenter, out: Path, score_thr: float = 0.3) -> Work:
    def work(images: Sequence[ImageFile]) -> None:
        out.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out) as folder:
            options = Options(
                out=Path(folder), score_thr=score_thr, batch_size=8 if segmenter.device.type == 'cuda' else 1
            )
            journal = Journal(options.out)
            for record in line.run(images, Detector(segmenter), options, earlier=journal):
                assert not record.error, record.error
                journal.add(record)
            journal.close()

    return work


def model_alone(segmenter: Segmenter, images: Sequence[ImageFile]) -> Work:
    """An upper bound: the model alone, on images that are read and prepared already."""
    prepared = {image.path: segmenter.prepare(read_image(image.path)) for image in images}
    size = 8 if segmenter.device.type == 'cuda' else 1

    def work(images: Sequence[ImageFile]) -> None:
        for start in range(0, len(images), size):
            segmenter.segment([prepared[image.path] for image in images[start : start + size]])
        if segmenter.device.type == 'cuda':
            torch.cuda.synchronize()

    return work


def processes(args: argparse.Namespace) -> None:
    """Time the command with one process and with two, a thread each, start-up included."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        images = repeated(args.images, args.count, Path(folder) / 'in')
        config, weights, score_thr = *TINY, 0.3
        if args.config:
            config, weights = config_path(args.config), f'{folder}/weights.pth'
            score_thr = make_weights(config, weights, list_images([str(images)])[0], args.candidates)
        command = [*COMMAND, config, weights, str(images), '--quiet']
        command += ['--score-thr', str(score_thr), '--device', args.device, '--threads', '1', '--workers', '1', '-o']
        for _ in range(args.rounds):
            for count, taken in seconds.items():
                with tempfile.TemporaryDirectory() as out:
                    start = time.perf_counter()
                    shards = [['--shard', f'{index}/{count}'] for index in range(count)]
                    for one in [subprocess.Popen([*command, out, *shard]) for shard in shards]:
                        assert one.wait() == 0
                    if count > 1:
                        subprocess.run([*COMMAND, '--merge', out], check=True, stdout=subprocess.DEVNULL)
                    taken.append(time.perf_counter() - start)
    table = Table('processes', 'seconds', 'times')
    for count, taken in seconds.items():
        table.add_row(str(count), f'{statistics.median(taken):.1f}', f'{ratio(seconds[1], taken):.2f}x')
    Console().print(f'{args.count} images, {args.rounds} rounds', table)


def growth(args: argparse.Namespace) -> None:
    """Measure seconds per image and memory over few images and over many, with the bundled model."""
    segmenter = Segmenter(*TINY, args.device)
    table = Table('images', 'seconds an image', 'resident MB at most')
    with tempfile.TemporaryDirectory() as folder:
        every = list_images([str(repeated(args.images, max(args.counts), Path(folder) / 'in'))])
        work = our_line(segmenter, Path(folder) / 'out')
        work(every[:10])
        for count in sorted(args.counts):
            start = time.perf_counter()
            work(every[:count])
            seconds = (time.perf_counter() - start) / count
            table.add_row(
                str(count), f'{seconds:.4f}', f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f}'
            )
    Console().print(table)


def agreement(args: argparse.Namespace) -> None:
    """Compare the masks in bf16 and fp16 with those in fp32, on photographs, with the bundled model."""
    images = [read_image(image.path) for image in list_images([str(args.images)])[: args.limit]]
    table = Table('', 'matched (IoU > 0.5)', 'found', 'mean IoU of the matched', 'mean IoU of the union')
    found = {}
    for precision in ('fp32', 'bf16', 'fp16'):
        segment = Segmenter(*TINY, args.device, precision=precision)
        found[precision] = [segment([image])[0].select(0.3) for image in images]
    for precision in ('bf16', 'fp16'):
        pairs = list(zip(found['fp32'], found[precision], strict=True))
        ious = np.concatenate([match(*pair) for pair in pairs])
        extra = sum(len(ours) for _, ours in pairs)
        unions = [iou(ours.union, theirs.union) for theirs, ours in pairs]
        matched = ious[ious > 0.5]
        cells = f'{len(matched)} of {len(ious)}', str(extra), f'{matched.mean():.4f}', f'{np.mean(unions):.4f}'
        table.add_row(precision, *cells)
    Console().print(f'{len(images)} images', table)


def match(expected: Instances, found: Instances) -> np.ndarray:
    """The IoU of each expected instance with its partner, 0 without one.

    Pairs of one class are made from the largest IoU down; each instance is in one pair at most.
    """
    best = np.zeros(len(expected))
    if not len(expected) or not len(found):
        return best
    ious = np.array([[iou(mask, other) for other in found.masks] for mask in expected.masks])
    ious *= (expected.labels[:, None] == found.labels).numpy()
    while ious.max() > 0:
        row, column = np.unravel_index(ious.argmax(), ious.shape)
        best[row] = ious[row, column]
        ious[row], ious[:, column] = 0, 0
    return best


def iou(first: torch.Tensor, second: torch.Tensor) -> float:
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 1.0
