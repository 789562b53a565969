"""One annotation's polygons, run-length code or box -> the runs of its mask, which are pycocotools'."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from solo_bg.coco.check import Entry, has_segmentation
from solo_bg.coco.rle import Runs, from_text, runs_of_box

SLACK = 1.0  # pixels that a polygon may reach beyond the image: annotation tools round
LARGEST = 1e9  # of a coordinate: what a typing error or another unit may give, and no number that overflows

Points = NDArray[np.float64]  # (P, 2), x and y


@dataclass(frozen=True)
class Outline:
    """What an annotation outlines.

    Attributes:
        entry: the annotation, its polygons without what cannot be used.
        runs: of its mask in the image (see `solo_bg.coco.rle`).
        faults: `clipped` if it reaches more than a pixel outside the image, `parts skipped` if some of its polygons
            have fewer than three points.
    """

    entry: Entry
    runs: Runs
    faults: tuple[str, ...] = ()


def outline_of(annotation: Entry, size: tuple[int, int]) -> Outline:
    """The outline of an annotation in an image of height and width `size`: its polygons, its RLE, or else its box.

    Raises:
        ValueError: it has a segmentation that cannot be used. The message goes on from 'annotation 9'.
    """
    try:
        if not has_segmentation(annotation):
            return Outline(annotation, runs_of_bbox(annotation['bbox'], size))
        if isinstance(annotation['segmentation'], dict):
            return Outline(annotation, runs_of_rle(annotation['segmentation'], size))
        return outline_of_polygons(annotation, size)
    except Unusable:
        raise
    except (TypeError, KeyError, ValueError, IndexError, OverflowError) as error:
        raise Unusable('has a segmentation that is neither polygons nor RLE') from error


class Unusable(ValueError):
    """A segmentation that is invalid or does not fit its image."""


def runs_of_bbox(bbox: list[float], size: tuple[int, int]) -> Runs:
    """The runs of the part of a box that lies in the image; pixels that it covers partly are inside."""
    (height, width), (x, y, w, h) = size, bbox
    box = math.floor(x), math.floor(y), math.ceil(x + w), math.ceil(y + h)
    inside = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    return runs_of_box(inside, size)


def runs_of_rle(code: Entry, size: tuple[int, int]) -> Runs:
    """The runs of an RLE. Raises Unusable unless they fill the image, which pycocotools does not check."""
    if tuple(code['size']) != size:
        raise Unusable(f'has an RLE of {list(code["size"])}, but its image is {list(size)}')
    counts, pixels = code['counts'], size[0] * size[1]
    whole = 'has an RLE that does not fill its image'
    if isinstance(counts, list):
        runs = np.array([int(count) for count in counts], np.int64)
    else:
        try:
            runs = from_text(counts)
        except ValueError as error:
            raise Unusable(whole) from error
    if not len(runs) or runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
        raise Unusable(whole)
    return runs


def outline_of_polygons(annotation: Entry, size: tuple[int, int]) -> Outline:
    """The outline of polygons. Those that reach far outside are clipped: pycocotools walks along all their pixels."""
    height, width = size
    given = [np.asarray(polygon, float) for polygon in annotation['segmentation']]
    polygons: list[Points] = [
        one.reshape(-1, 2) for one in given if one.ndim == 1 and len(one) >= 6 and len(one) % 2 == 0
    ]
    if not polygons:
        raise Unusable(f'has a polygon of {given[0].size} numbers; expected x and y of three points or more')
    points = np.concatenate(polygons)
    if not (np.abs(points) <= LARGEST).all():  # NaN too
        x, y = points[~(np.abs(points) <= LARGEST).all(1)][0]
        raise Unusable(f'has a point at ({x:g}, {y:g}); its image is {width}x{height}')
    sides = np.array([width, height], float)
    reaches_out = bool(((points < -SLACK) | (points > sides + SLACK)).any())
    faults = {'clipped': reaches_out, 'parts skipped': len(polygons) < len(given)}
    if ((points < -sides) | (points > 2 * sides)).any():
        polygons = [cut for one in polygons if len(cut := clip(one, -sides, 2 * sides)) >= 3]
        if not polygons:
            x, y = points[0]
            raise Unusable(f'lies outside its image {width}x{height}, at ({x:g}, {y:g})')
    flat = [one.ravel().tolist() for one in polygons]
    entry = annotation if flat == annotation['segmentation'] else {**annotation, 'segmentation': flat}
    code: dict[str, Any] = pycoco.merge(pycoco.frPyObjects(flat, height, width))
    return Outline(entry, from_text(code['counts']), tuple(name for name, applies in faults.items() if applies))


def clip(polygon: Points, low: Points, high: Points) -> Points:
    """The part of a polygon between two corners; its edge runs along the border (Sutherland and Hodgman, 1974)."""
    for axis in (0, 1):
        for sign, limit in ((1, high[axis]), (-1, -low[axis])):
            following = np.roll(polygon, -1, 0)
            beyond, next_beyond = (sign * points[:, axis] > limit for points in (polygon, following))
            crosses = beyond != next_beyond
            step = (following - polygon)[crosses]
            share = (sign * limit - polygon[crosses, axis]) / step[:, axis]
            crossing = polygon.copy()
            crossing[crosses] += share[:, None] * step
            crossing[crosses, axis] = sign * limit
            polygon = np.stack([polygon, crossing], 1)[np.stack([~beyond, crosses], 1)]
    return polygon
