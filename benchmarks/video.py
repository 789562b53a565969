"""`run.py video`: a video against its frames as images, memory over many frames, and flicker with `--smooth`."""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pipeline import TINY, iou
from rich.console import Console
from rich.table import Table

from solo_bg import Instances, Segmenter, clips
from solo_bg.core.steady import steady
from solo_bg.disk.inputs import ImageFile, find_images
from solo_bg.disk.read import read_image
from solo_bg.options import Options
from solo_bg.sources.base import InputImage, Source
from solo_bg.sources.detector import Detector

Pixels = NDArray[np.uint8]
HD = 1920, 1080
SMALL = 64, 48
NOISE = 6  # standard deviation, of 255


def video(args: argparse.Namespace) -> None:
    """Measure a 1080p video against its frames as images, memory over many frames, and flicker."""
    photos = [read_image(image.path) for image in find_images([str(args.images)]).images[: args.photos]]
    grow(photos[0], args.counts)  # first, because the highest memory of the process is measured
    segmenter = Segmenter(*TINY, args.device)
    flicker(photos, segmenter, args.windows)
    compare(photos[0], segmenter, args.frames, args.rounds)


def compare(photo: Pixels, segmenter: Segmenter, count: int, rounds: int) -> None:
    """Print the time per frame of a video and of its frames as images, with the bundled model."""
    with tempfile.TemporaryDirectory() as folder:
        stills = Path(folder) / 'stills'
        stills.mkdir()
        frames = list(pan(photo, count, HD))
        for index, frame in enumerate(frames):
            cv2.imwrite(str(stills / f'{index:06d}.png'), frame)
            cv2.imwrite(str(stills / f'{index:06d}.jpg'), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
        save(Path(folder) / 'a.mp4', frames, HD)
        ways = {
            'images, PNG to PNG': ([str(stills / '*.png')], 'png'),
            'images, JPEG to JPEG': ([str(stills / '*.jpg')], 'jpg'),
            'video, H.264 to H.264': ([f'{folder}/a.mp4'], 'png'),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        busy: dict[str, list[float]] = {name: [] for name in ways}  # CPU time, which other processes hardly change
        for _ in range(rounds):
            for name, (inputs, kind) in ways.items():
                start = time.process_time()
                seconds[name].append(run(inputs, Detector(segmenter), folder, format=kind) / count)
                busy[name].append((time.process_time() - start) / count)
    table = Table('1920x1080, the bundled model', 'seconds a frame', 'CPU seconds a frame', 'against PNG')
    for name, taken in busy.items():
        share = statistics.median(one / other for one, other in zip(taken, busy['images, PNG to PNG'], strict=True))
        elapsed = f'{statistics.median(seconds[name]):.3f}'
        table.add_row(name, elapsed, f'{statistics.median(taken):.3f}', f'{share - 1:+.0%}')
    Console().print(f'{count} frames, {rounds} rounds, {torch.get_num_threads()} threads', table)


def run(inputs: Sequence[str], source: Source, folder: str, **options: str) -> float:
    """Process the inputs; return the seconds taken."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        given = Options(Path(out), ('eliminated',), on_empty='copy', annotate=False, **options)  # type: ignore[arg-type]
        for record in clips.run(files(inputs), source, given):
            assert not record.error, record.error
        return time.perf_counter() - start


def files(inputs: Sequence[str]) -> list[ImageFile]:
    return find_images(inputs).images


class Bright(Source):
    """A source that costs next to nothing."""

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        masks = [torch.from_numpy(image.pixels[None, ..., 1] > 128) for image in images]
        return [Instances(mask, torch.zeros(1).long(), torch.ones(1), ('bright',)) for mask in masks]


def grow(photo: Pixels, counts: Sequence[int]) -> None:
    """Print time and memory over videos of different lengths, with a source that costs next to nothing."""
    table = Table('frames of 64x48', 'seconds a frame', 'resident MB at most')
    with tempfile.TemporaryDirectory() as folder:
        for count in sorted(counts):
            path = Path(folder) / f'{count}.mp4'
            save(path, pan(photo, count, SMALL), SMALL)
            seconds = run([str(path)], Bright(), folder)
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            table.add_row(str(count), f'{seconds / count:.4f}', f'{most:.0f}')
    Console().print(table)


def flicker(photos: Sequence[Pixels], segmenter: Segmenter, windows: Sequence[int]) -> None:
    """Print the mean IoU of the unions of neighbouring frames, in still scenes and in scenes that move.

    All frames have noise of their own. Where the scene moves, by two pixels a frame, the masks are moved back first.
    """
    table = Table('--smooth', 'still', 'moving')
    random = np.random.default_rng(0)
    unions: dict[tuple[int, int], list[list[torch.Tensor]]] = {}
    for photo in photos:
        for step in (0, 2):
            noisy = [add_noise(frame, random) for frame in pan(photo, 24, (480, 320), step)]
            found = [segmenter([frame])[0].select(0.3) for frame in noisy]
            for window in windows:
                steadied = [one for _, one in steady(enumerate(found), window)]
                shown = [torch.roll(one.union, step * index, 1) for index, one in enumerate(steadied)]
                kept = [one[:, 48:] for one in shown] if step else shown  # what was moved in from the other side
                unions.setdefault((window, step), []).append(kept)
    for window in windows:
        ious = [statistics.mean(between(scene) for scene in unions[window, step]) for step in (0, 2)]
        table.add_row(str(window), *(f'{value:.4f}' for value in ious))
    Console().print(f'{len(photos)} scenes of 24 frames', table)


def between(unions: Sequence[torch.Tensor]) -> float:
    """The mean IoU of neighbours."""
    return statistics.mean(iou(one, other) for one, other in pairwise(unions))


def pan(photo: Pixels, count: int, size: tuple[int, int], step: int = 1) -> Iterator[Pixels]:
    """A window of `size` that moves over the photograph by `step` pixels a frame, and back."""
    width, height = size
    wide = cv2.resize(photo, (width + 48, height), interpolation=cv2.INTER_LINEAR)
    for index in range(count):
        left = 48 - abs(48 - index * step % 96)
        yield np.ascontiguousarray(wide[:, left : left + width], np.uint8)


def add_noise(frame: Pixels, random: np.random.Generator) -> Pixels:
    return np.clip(frame + random.normal(0, NOISE, frame.shape), 0, 255).astype(np.uint8)


def save(path: Path, frames: Iterable[Pixels], size: tuple[int, int]) -> None:
    """Write frames of this width and height as an H.264 video of good quality."""
    with av.open(str(path), 'w') as container:
        options = {'crf': '15', 'preset': 'veryfast'}
        stream = container.add_stream('libx264', 25, options, width=size[0], height=size[1], time_base=Fraction(1, 25))
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format='bgr24').reformat(format='yuv420p')
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
