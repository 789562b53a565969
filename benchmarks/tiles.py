"""`run.py tiles`: large images made of annotated photographs, in tiles and as a whole."""

import argparse
import contextlib
import io
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from solo_bg import InputImage, Instances, Segmenter, bundled
from solo_bg.coco.check import Entry
from solo_bg.coco.dataset import Annotations
from solo_bg.coco.rle import encode
from solo_bg.core.pieces import Piece, around, common, distinct, instances_of, meet
from solo_bg.core.tiles import grid, join
from solo_bg.core.whole_view import Small, add_whole, enlarged
from solo_bg.disk.read import read_image
from solo_bg.sources.detector import Detector
from solo_bg.sources.tiled import Tiled, read_tiles

CELL = 450, 600  # height and width of a photograph in the mosaic
SAME = 0.5  # of plain NMS
MOST = 1000  # instances of a mosaic that count


def tiles(args: argparse.Namespace) -> None:
    """Measure AP and objects split at seams on mosaics, against no tiles and against tiles with plain NMS."""
    source = Tiled(Detector(Segmenter(bundled.CONFIG, bundled.CHECKPOINT, args.device)), *read_tiles(args.tiles))
    annotations = Annotations.from_file(args.annotations)
    ways: dict[str, list[Instances]] = {}
    truth, joining = [], 0.0
    for number in range(args.mosaics):
        pixels, objects = mosaic(annotations, args, number)
        image = InputImage('', '', pixels)
        size = pixels.shape[0], pixels.shape[1]
        by_tile = list(source.tile_pieces(image))
        pieces = [piece for found in by_tile for piece in found]
        whole = source.whole_instances(image)
        start = time.process_time()
        ours = add_whole(join([one for found in by_tile for one in distinct(found)], size, source.edge), whole, size)
        joining += time.process_time() - start
        large = as_pieces(whole, size)
        found = {
            'no tiles': large,
            'tiles, plain NMS by IoU': nms([*pieces, *large], lambda both, one, other: both / (one + other - both)),
            'tiles, plain NMS by containment': nms([*pieces, *large], lambda both, one, other: both / min(one, other)),
            'tiles, joined': ours,
        }
        truth.append(objects)
        for name, given in found.items():
            ways.setdefault(name, []).append(instances_of(given, size, ()))
    table = Table('class-agnostic', 'AP', 'AP50', 'AP small', 'instances > 0.3', 'split at seams')
    for name, results in ways.items():
        crossing, split = np.sum([splits(*pair, source) for pair in zip(truth, results, strict=True)], 0)
        kept = sum(len(one.select(0.3)) for one in results)
        cells = (f'{value:.3f}' for value in average_precision(truth, results))
        table.add_row(name, *cells, str(kept), f'{split} of {crossing}')
    counted = f'{args.mosaics} mosaics of {size[1]}x{size[0]}, {sum(map(len, truth))} objects, tiles of {args.tiles}'
    Console().print(f'{counted}; joining took {joining / args.mosaics:.1f} s of processor time a mosaic', table)


def mosaic(annotations: Annotations, args: argparse.Namespace, number: int) -> tuple[np.ndarray, Instances]:
    """Photographs side by side, and what is annotated in them."""
    entries = annotations.coco['images'][number * args.grid**2 : (number + 1) * args.grid**2]
    height, width = CELL
    pixels = np.zeros((height * args.grid, width * args.grid, 3), np.uint8)
    found: list[Piece] = []
    for place, entry in enumerate(entries):
        photo = read_image(args.images / entry['file_name'])
        y, x = place // args.grid * height, place % args.grid * width
        pixels[y : y + height, x : x + width] = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        annotated = annotations.read(entry, (photo.shape[0], photo.shape[1]))
        for mask, one in zip(annotated.instances.masks, annotated.entries, strict=True):
            fitted = cv2.resize(mask.numpy().astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            if fitted.any() and not one.get('iscrowd'):
                rows, columns = np.nonzero(fitted)
                x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                box = int(x0 + x), int(y0 + y), int(x1 + x), int(y1 + y)
                found.append(Piece(box, box, torch.from_numpy(fitted[y0:y1, x0:x1].astype(bool)), 0, 1.0))
    return pixels, instances_of(found, (pixels.shape[0], pixels.shape[1]), ())


def as_pieces(whole: Instances, size: tuple[int, int]) -> list[Piece]:
    """What is found in the whole image, at its full size."""
    found = []
    columns = whole.host_boxes, whole.crops, whole.host_labels, whole.scores.tolist()
    for box, crop, label, score in zip(*columns, strict=True):
        if crop.any():
            place, mask = enlarged(Small(box, crop, int(crop.sum())), whole.size, size)
            found.append(Piece((0, 0, size[1], size[0]), place, mask, label, score))
    return found


def nms(pieces: Sequence[Piece], overlap: Callable[[int, int, int], float]) -> list[Piece]:
    """Plain NMS of masks, as SAHI and others do with tiles: best score first, each label by itself."""
    kept: list[tuple[Piece, int]] = []
    for piece in sorted(pieces, key=lambda one: -one.score):
        area = piece.area
        rivals = ((other, size) for other, size in kept if other.label == piece.label and meet(other.box, piece.box))
        if not any(overlap(shared(piece, other), area, size) >= SAME for other, size in rivals):
            kept.append((piece, area))
    return [piece for piece, _ in kept]


def shared(one: Piece, other: Piece) -> int:
    """Number of pixels that both have."""
    region = common(one.box, other.box)
    return int((one.mask_in(region) & other.mask_in(region)).sum())


def splits(objects: Instances, found: Instances, source: Tiled) -> tuple[int, int]:
    """How many objects no tile holds, and how many of them are several instances.

    An instance with a score above 0.3 is a part of an object if 70% of it lie in the object and it covers 10% of that.
    """
    parts = [Piece(box, box, crop, 0, 1.0) for box, crop in zip(*crops_of(found.select(0.3)), strict=True)]
    areas = found.select(0.3).areas.tolist()
    tiles_there = grid(found.size, source.side, source.overlap)
    crossing = split = 0
    for box, crop in zip(*crops_of(objects), strict=True):
        if any(around([box, tile]) == tile for tile in tiles_there):
            continue
        crossing += 1
        own, area = Piece(box, box, crop, 0, 1.0), int(crop.sum())
        both = [(shared(own, part), size) for part, size in zip(parts, areas, strict=True) if meet(part.box, box)]
        split += sum(pixels > 0.7 * size and pixels > 0.1 * area for pixels, size in both) > 1
    return crossing, split


def crops_of(instances: Instances) -> tuple[Sequence[tuple[int, int, int, int]], Sequence[torch.Tensor]]:
    return instances.host_boxes, instances.crops


def average_precision(truth: Sequence[Instances], results: Sequence[Instances]) -> tuple[float, float, float]:
    """Mask AP, AP50 and AP of small objects, of any class."""
    coco, found = COCO(), []
    images: list[Entry] = []
    annotations: list[Entry] = []
    for number, (objects, given) in enumerate(zip(truth, results, strict=True), 1):
        images.append({'id': number, 'height': objects.size[0], 'width': objects.size[1]})
        for code, area in zip(encode(objects), objects.areas.tolist(), strict=True):
            entry = {'id': len(annotations) + 1, 'image_id': number, 'category_id': 1, 'iscrowd': 0}
            annotations.append({**entry, 'segmentation': code, 'area': area, 'bbox': [0, 0, 1, 1]})
        for code, score in zip(encode(given), given.scores.tolist(), strict=True):
            found.append({'image_id': number, 'category_id': 1, 'segmentation': code, 'score': score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'any'}]}
        coco.createIndex()
        scored = COCOeval(coco, coco.loadRes(found), 'segm')
        scored.params.maxDets = [1, 100, MOST]
        scored.evaluate()
        scored.accumulate()
    precision = scored.eval['precision'][..., -1]  # (thresholds, recalls, classes, sizes)
    each = (precision[..., 0], precision[:1, ..., 0], precision[..., 1])
    return tuple(float(one[one > -1].mean()) if (one > -1).any() else float('nan') for one in each)  # type: ignore
