"""Where an instance of a bank goes in another image, and how large it is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.random import Generator

from solo_bg.bank.bank import Item

POSITIONS = ('inside', 'anywhere', 'like-source')
SIZES = ('share', 'pixels')
JITTER = 0.1  # standard deviation of `like-source`, as a share of the image's sides
SMALLEST = 4  # pixels of the shorter side of a pasted crop


@dataclass(frozen=True)
class Rules:
    """How instances are pasted.

    Attributes:
        count: smallest and largest number of instances that are pasted into an image.
        size: `share`: an instance takes the same share of the new image as of its own one. `pixels`: it keeps its size.
        scale: smallest and largest factor on that size. Factors are drawn log-uniformly: 0.5 is as likely as 2.
        enlarge: no crop is enlarged by more than this factor, since it would be blurred.
        largest: no crop is higher or wider than this share of the image.
        position: `inside`: anywhere where the whole crop is inside the image. `anywhere`: its centre is inside.
            `like-source`: near the place that it had in its own image, and inside.
        flip: probability that a crop is mirrored.
        feather: width in pixels over which a crop fades out towards its edge (a Gaussian's sigma); 0: not at all.
        hide: a crop that would hide more than this share of an instance that is there tries another place.
        tries: number of places that are tried; then the crop is left out.
        bbox_occluded_thr, mask_occluded_thr: an instance that is partly hidden stays if each side of its box moved by
            at most so many pixels, or if its mask has more pixels than this; as in mmdet's `CopyPaste`.

    Raises:
        ValueError: a value that is not allowed.
    """

    count: tuple[int, int] = (1, 4)
    size: str = 'share'
    scale: tuple[float, float] = (0.5, 1.5)
    enlarge: float = 2.0
    largest: float = 0.8
    position: str = 'inside'
    flip: float = 0.5
    feather: float = 1.0
    hide: float = 0.7
    tries: int = 10
    bbox_occluded_thr: int = 10
    mask_occluded_thr: int = 300

    def __post_init__(self) -> None:
        if self.position not in POSITIONS or self.size not in SIZES:
            known = f'a position of {", ".join(POSITIONS)} and a size of {", ".join(SIZES)}'
            raise ValueError(f'expected {known}, got {self.position!r} and {self.size!r}')
        for name, (low, high) in (('count', self.count), ('scale', self.scale)):
            if not 0 <= low <= high < math.inf or (name == 'scale' and low <= 0):
                least = 'above 0' if name == 'scale' else 'of at least 0'
                raise ValueError(f'{name} expected two numbers {least}, the smaller one first, got {(low, high)}')
        for name in ('flip', 'hide', 'largest'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} expected a number from 0 to 1, got {getattr(self, name)}')
        if not 0 <= self.feather < math.inf or not self.enlarge > 0 or self.tries < 1:
            given = f'feather {self.feather}, enlarge {self.enlarge}, tries {self.tries}'
            raise ValueError(f'expected feather of at least 0, enlarge above 0, tries of at least 1; got {given}')


def draw_size(item: Item, size: tuple[int, int], rules: Rules, random: Generator) -> tuple[int, int] | None:
    """Height and width of a crop in an image of height and width `size`; None if it would be too small there."""
    factor = math.exp(random.uniform(math.log(rules.scale[0]), math.log(rules.scale[1])))
    if rules.size == 'share':
        factor *= math.sqrt(size[0] * size[1] / (item.image_size[0] * item.image_size[1]))
    room = (rules.largest * side / own for side, own in zip(size, item.size, strict=True))
    factor = min(factor, rules.enlarge, *room)
    height, width = (round(own * factor) for own in item.size)
    return (height, width) if min(height, width) >= SMALLEST else None


def draw_place(
    item: Item, crop: tuple[int, int], size: tuple[int, int], flipped: bool, rules: Rules, random: Generator
) -> tuple[int, int]:
    """The left upper corner (x, y) of a crop of height and width `crop` in an image of height and width `size`."""
    (height, width), free = crop, (size[0] - crop[0], size[1] - crop[1])
    if rules.position == 'inside':
        return int(random.integers(free[1] + 1)), int(random.integers(free[0] + 1))
    if rules.position == 'anywhere':
        return int(random.integers(size[1])) - width // 2, int(random.integers(size[0])) - height // 2
    x0, y0, x1, y1 = item.box
    x, y = (x0 + x1) / 2 / item.image_size[1], (y0 + y1) / 2 / item.image_size[0]
    x, y = (1 - x if flipped else x) + random.normal(0, JITTER), y + random.normal(0, JITTER)
    left, top = round(x * size[1] - width / 2), round(y * size[0] - height / 2)
    return min(max(left, 0), free[1]), min(max(top, 0), free[0])
