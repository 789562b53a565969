"""`run.py compose` and `run.py disk`: the time from masks to pictures, and the bytes that pictures take."""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import reference
import torch
from pycocotools.coco import COCO
from rich.console import Console
from rich.table import Table

from solo_bg import Instances
from solo_bg.coco.pseudo_labels import predictions
from solo_bg.disk.encode import encode_image
from solo_bg.disk.read import read_image
from solo_bg.draw.compose import colourise, eliminate, eliminated
from solo_bg.draw.names import overlay, write_names
from solo_bg.draw.styles import ALPHA_STYLES, MASK_STYLES, STYLE_NAMES, STYLES, load_part_style, load_style

CASES = ((427, 640, 10), (427, 640, 50), (1080, 1920, 30), (2160, 3840, 30), (2160, 3840, 100))
CLASSES = ('person', 'cat', 'dog')


def draw_case(height: int, width: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An image and `count` ellipses, each a tenth to a half of the image high and wide."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    masks = np.zeros((count, height, width), bool)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for mask in masks:
        radius_y, radius_x = height * rng.uniform(0.05, 0.25), width * rng.uniform(0.05, 0.25)
        mask[:] = ((y - rng.uniform(0, height)) / radius_y) ** 2 + ((x - rng.uniform(0, width)) / radius_x) ** 2 < 1
    scores = np.sort(rng.uniform(0.31, 1, count).astype(np.float32))[::-1].copy()
    return image, masks, rng.integers(0, 3, count), scores


def timed(work: Callable[[], object], device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compose(args: argparse.Namespace) -> None:
    """Time the overlay and the eliminated image from given masks, against the rules written plainly."""
    device = torch.device(args.device)
    hardware = torch.cuda.get_device_name() if device.type == 'cuda' else f'{torch.get_num_threads()} threads'
    table = Table('image', 'instances', 'plain', 'dense masks', 'times', 'boxes known', 'times')
    stages = Table('image', 'instances', 'boxes', 'owner map', 'centres', 'colours', 'names', 'eliminate', 'RLE')
    if device.type == 'cuda':
        table.add_column('share of bandwidth')
        bandwidth = copy_bandwidth()
    for height, width, count in CASES:
        image, masks, labels, scores = draw_case(height, width, count)
        pixels = torch.from_numpy(image).to(device)
        given = [torch.from_numpy(array).to(device) for array in (masks, labels, scores)]
        known = instances_of(given)

        def plain() -> None:
            reference.show_result_ins(image, masks, labels, scores, CLASSES)
            reference.eliminate(image, masks)

        def dense() -> None:
            instances = instances_of(given)
            overlay(pixels, instances)
            eliminated(pixels, instances)

        def boxed() -> None:
            instances = fresh(known)
            overlay(pixels, instances)
            eliminated(pixels, instances)

        drawn = overlay(pixels, fresh(known)).cpu().numpy()
        np.testing.assert_array_equal(drawn, reference.show_result_ins(image, masks, labels, scores, CLASSES))
        rounds = [[timed(work, device) for work in (plain, dense, boxed)] for _ in range(args.rounds)]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        ratios = [statistics.median(row[0] / row[which] for row in rounds) for which in (1, 2)]
        cells = [f'{height}x{width}', str(count), *(f'{value * 1e3:.1f} ms' for value in medians)]
        row = [*cells[:4], f'{ratios[0]:.0f}x', cells[4], f'{ratios[1]:.0f}x']
        if device.type == 'cuda':
            crop_bytes = sum(crop.numel() for crop in known.crops)
            moved = crop_bytes + 3 * 3 * height * width  # crops and image read once, two pictures written
            row.append(f'{moved / medians[2] / bandwidth:.0%}')
        table.add_row(*row)
        stages.add_row(
            *cells[:2], *(f'{value * 1e3:.1f} ms' for value in stage_times(pixels, given, known, args.rounds))
        )
    console = Console(width=110)
    console.print(f'{platform.processor() or platform.machine()}, {hardware}, torch {torch.__version__}')
    console.print(table, '\nWhere the time goes:', stages)


def instances_of(given: Sequence[torch.Tensor]) -> Instances:
    masks, labels, scores = given
    return Instances(masks, labels, scores, CLASSES)


def fresh(known: Instances) -> Instances:
    """The same instances, with only boxes and crops computed."""
    return Instances.from_crops(known.boxes, known.crops, known.size, known.labels, known.scores, CLASSES)


def stage_times(pixels: torch.Tensor, given: Sequence[torch.Tensor], known: Instances, rounds: int) -> list[float]:
    """Median seconds of each step of composing."""

    def once() -> list[float]:
        instances = fresh(known)
        steps: list[Callable[[], object]] = [
            lambda: instances_of(given).crops,
            lambda: instances.owner_map,
            lambda: instances.centres,
            lambda: colourise(pixels, instances),
            lambda: write_names(picture, instances),
            lambda: eliminate(pixels, instances.union),
            lambda: predictions(instances),  # for annotations.json, in runs without --ann
        ]
        picture = pixels.clone()
        return [timed(step, pixels.device) for step in steps]

    return [statistics.median(column) for column in zip(*(once() for _ in range(rounds)), strict=True)]


def copy_bandwidth(size: int = 2**30) -> float:
    """Bytes a second, read and written, of a large copy on the GPU."""
    source = torch.ones(size, dtype=torch.uint8, device='cuda')
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = statistics.median(timed(lambda: target.copy_(source), source.device) for _ in range(10))
    return 2 * size / seconds


def disk(args: argparse.Namespace) -> None:
    """Measure the bytes per pixel of each style and format, with annotated masks as the instances."""
    coco = COCO(str(args.annotations))
    table = Table('style', *(formats := ('.png', '.jpg', '.webp')))
    written = {(style, suffix): 0 for style in STYLE_NAMES for suffix in formats}
    pixels = foreground = 0
    for image_id in sorted(coco.imgs):
        image = read_image(args.images / coco.imgs[image_id]['file_name'])
        masks = [coco.annToMask(annotation).astype(bool) for annotation in coco.imgToAnns[image_id]]
        if not masks:
            continue
        n = len(masks)
        instances = Instances(torch.from_numpy(np.stack(masks)), torch.zeros(n, dtype=torch.int64), torch.ones(n))
        pixels += image.shape[0] * image.shape[1]
        foreground += int(instances.union.sum())
        for style in STYLE_NAMES:
            drawn = pictures_of(style, torch.from_numpy(image), instances)
            for suffix in formats:
                if suffix == '.png' or (style not in MASK_STYLES and (style not in ALPHA_STYLES or suffix != '.jpg')):
                    written[style, suffix] += sum(len(encode_image(picture.numpy(), suffix)) for picture in drawn)
    for style in STYLE_NAMES:
        table.add_row(style, *(f'{written[style, suffix] / pixels:.2f}' for suffix in formats))
    Console().print(table, f'bytes a pixel; {foreground / pixels:.0%} of the pixels are foreground')


def pictures_of(style: str, image: torch.Tensor, instances: Instances) -> list[torch.Tensor]:
    """All pictures that a style draws of an image."""
    if style in STYLES:
        return [load_style(style)(image, instances)]
    return [part.picture for part in load_part_style(style)(image, instances)]
