"""Where an edge is uncertain, and the tiles that cover it. Pure tensors, on the device where the masks are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 256  # pixels
ALMOST = 13  # of 255: an alpha that differs less from 0 or 255 is certain

Part = tuple[slice, slice]


@dataclass(frozen=True)
class Trimap:
    """What is certainly `foreground` and certainly `background`, bool (H, W) each; the rest is unknown."""

    foreground: Tensor
    background: Tensor

    @property
    def unknown(self) -> Tensor:
        return ~(self.foreground | self.background)

    def __getitem__(self, part: Part) -> Trimap:
        return Trimap(self.foreground[part], self.background[part])


@dataclass(frozen=True)
class Tile:
    """A part of an image: its pixels with those around them, and which of them are to be filled, bool (h, w)."""

    outer: Part
    wanted: Tensor

    def fill(self, whole: Tensor, found: Tensor) -> None:
        """Write what was found for the tile, (h, w) or (h, w, C), to its wanted pixels in the whole image."""
        part = whole[self.outer]
        wanted = self.wanted if part.ndim == 2 else self.wanted[..., None]
        part.copy_(torch.where(wanted, found, part))


def make_trimap(opacity: Tensor, band: int) -> Trimap:
    """Unknown are the pixels within `band` of the edge between opacities below and above a half, and all soft pixels.

    Distances are along rows and columns (the larger counts). A part of the mask that is thinner than the band is
    certain in the inner half of its thickness.

    Args:
        opacity: uint8 (H, W).
    """
    mask = opacity > 127
    inside = torch.zeros_like(opacity)  # distance to the background, at most 2 * band + 1
    core = mask
    for _ in range(2 * band + 1):
        inside += core
        core = ~window_max(~core, 1)
    middle = window_max(inside, band)
    foreground = mask & (inside > middle // 2) & (opacity >= 255 - ALMOST)
    return Trimap(foreground, ~window_max(mask, band) & (opacity <= ALMOST))


def window_max(values: Tensor, radius: int) -> Tensor:
    """The largest of the values within `radius` rows and columns of each pixel; bool or uint8 (H, W), not negative."""
    largest = values.view(torch.uint8)
    for dim in (0, 1):
        largest = running_max(largest, radius, dim)
    return largest.view(values.dtype)


def running_max(values: Tensor, radius: int, dim: int) -> Tensor:
    """Along one dimension: windows are doubled until they are long enough, then two of them overlap."""
    length, size = values.shape[dim], 2 * radius + 1
    pad = (radius, radius) if dim == 1 else (0, 0, radius, radius)
    values, reach = F.pad(values, pad), 1
    while 2 * reach <= size:
        values = shifted_max(values, reach, dim)
        reach *= 2
    if reach < size:
        values = shifted_max(values, size - reach, dim)
    return values.narrow(dim, 0, length)


def shifted_max(values: Tensor, shift: int, dim: int) -> Tensor:
    kept = values.shape[dim] - shift
    return torch.maximum(values.narrow(dim, 0, kept), values.narrow(dim, shift, kept))


def tiles(wanted: Tensor, margin: int) -> Iterator[Tile]:
    """Tiles of TILE x TILE pixels with `margin` pixels around them, those without a wanted pixel left out.

    Args:
        wanted: bool (H, W).
    """
    height, width = wanted.shape
    below, right = -height % TILE, -width % TILE
    blocks = F.pad(wanted, (0, right, 0, below)).view((height + below) // TILE, TILE, -1, TILE)
    for row, column in blocks.any(3).any(1).nonzero().tolist():
        y0, x0 = row * TILE, column * TILE
        y1, x1 = min(y0 + TILE, height), min(x0 + TILE, width)
        top, left = max(y0 - margin, 0), max(x0 - margin, 0)
        outer = slice(top, min(y1 + margin, height)), slice(left, min(x1 + margin, width))
        inner = torch.zeros_like(wanted[outer])
        inner[y0 - top : y1 - top, x0 - left : x1 - left] = wanted[y0:y1, x0:x1]
        yield Tile(outer, inner)
