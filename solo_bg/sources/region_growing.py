"""Foreground by region growing, from the border inwards or from points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from solo_bg.errors import ImageError, SetupError
from solo_bg.sources.base import InputImage
from solo_bg.sources.classic import Classic

if TYPE_CHECKING:
    from solo_bg.sources.classic import Mask, Pixels

    Point = tuple[int, int]


class RegionGrowing(Classic):
    """With seeds, the region that grows from them; without seeds, everything that does not grow from the border.

    Options:
        seeds: points of the foreground, `X,Y` each in pixels of the original image, joined by `+`: `120,80+200,90`.
            '': background grows from every pixel of the border.
        tolerance: how much each Lab channel, 0 to 255, may differ.
        compare: a pixel is compared with the `seed` that its region grows from, or with its `neighbour`.
    """

    option_defaults = {'seeds': '', 'tolerance': 20, 'compare': 'seed'}  # noqa: RUF012
    least = {'tolerance': 0}  # noqa: RUF012
    choices = {'compare': ('seed', 'neighbour')}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seeds = read_points(self.options['seeds'])

    def segment(self, image: InputImage) -> Mask:
        height, width = image.pixels.shape[:2]
        for x, y in self.seeds:
            if x >= width or y >= height:
                raise ImageError(f'the seed {x},{y} lies outside the image of {width}x{height} pixels')
        rules = self.options['tolerance'], self.options['compare'] == 'seed'
        if self.seeds:
            return grow(image.pixels, self.seeds, *rules)
        return ~grow(image.pixels, border_points(height, width), *rules)


def grow(pixels: Pixels, seeds: Iterable[Point], tolerance: int, fixed: bool) -> Mask:
    """The pixels that are connected with a seed through pixels within the tolerance, four neighbours each.

    Args:
        pixels: uint8 (H, W, 3), BGR.
        seeds: (x, y) each.
        fixed: compare with the seed, not with the neighbour that a pixel was reached from.

    Returns:
        bool (H, W).
    """
    import cv2
    import numpy as np

    lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2Lab)
    height, width = lab.shape[:2]
    reached = np.zeros((height + 2, width + 2), np.uint8)  # floodFill wants a frame around its mask
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | 1 << 8 | (cv2.FLOODFILL_FIXED_RANGE if fixed else 0)
    for x, y in seeds:
        if not reached[y + 1, x + 1]:
            cv2.floodFill(lab, reached, (x, y), 0, (tolerance,) * 3, (tolerance,) * 3, flags)
    return reached[1:-1, 1:-1] > 0


def border_points(height: int, width: int) -> list[Point]:
    """Every pixel of the image's border."""
    rows = [(x, y) for y in {0, height - 1} for x in range(width)]
    return rows + [(x, y) for x in {0, width - 1} for y in range(1, height - 1)]


def read_points(text: str) -> list[Point]:
    """`120,80+200,90` -> [(120, 80), (200, 90)]. Raises SetupError for anything else."""
    points = [part.split(',') for part in text.split('+') if text]
    if any(len(point) != 2 or not all(number.strip().isdigit() for number in point) for point in points):
        raise SetupError(f'--source-options: seeds expected points such as 120,80+200,90, got {text!r}')
    return [(int(x), int(y)) for x, y in points]
