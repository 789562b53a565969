"""Where an edge is uncertain, and the tiles that cover it. Pure tensors, on the device where the masks are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 256  # pixels
GRID = 16  # pixels; blocks of pixels begin at its multiples
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
        """Write what was found for the wanted pixels, row by row, (N,) or (N, C), into the whole image."""
        whole[self.outer][self.wanted] = found


def make_trimap(opacity: Tensor, band: int) -> Trimap:
    """Unknown are the pixels within `band` of the edge between opacities below and above a half, and all soft pixels.

    Distances are along rows and columns (the larger counts). A part of the mask that is thinner than the band is
    certain in the inner half of its thickness.

    Args:
        opacity: uint8 (H, W).
    """
    mask = opacity > 127
    middle = window_max(inside := distance_inside(mask, 2 * band + 1), band)
    foreground = mask & (inside > middle // 2) & (opacity >= 255 - ALMOST)
    return Trimap(foreground, ~window_max(mask, band) & (opacity <= ALMOST))


def distance_inside(mask: Tensor, most: int) -> Tensor:
    """How far the background is from each pixel of a mask, bool (H, W), at most `most`: uint8 (H, W).

    What lies outside the image is no background. The mask is eroded by one pixel after the other.
    """
    height, width = mask.shape
    left = F.pad(mask.to(torch.uint8), (most,) * 4, value=1)
    distance = torch.zeros(mask.shape, dtype=torch.uint8, device=mask.device)
    for margin in range(most, 0, -1):
        distance += left[margin : margin + height, margin : margin + width]
        rows = left[:-2] & left[1:-1] & left[2:]
        left = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return distance


def surroundings(opacity: Tensor, margin: int) -> Part:
    """The smallest part, with `margin` pixels around it, outside which every pixel of an opacity is background.

    It begins at a multiple of GRID. Without any foreground it is the first pixel.

    Args:
        opacity: uint8 (H, W).
    """
    some = opacity > ALMOST
    found = []
    for line in (some.any(1), some.any(0)):
        (places,) = line.nonzero(as_tuple=True)
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, -margin)
        found.append(slice(max(first - margin, 0) // GRID * GRID, last + margin + 1))
    return found[0], found[1]


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
    """Parts of at most TILE x TILE pixels that together have all wanted pixels, with `margin` pixels around them.

    They begin at multiples of GRID, so that blocks of pixels are the same ones in all tiles.

    Args:
        wanted: bool (H, W).
    """
    height, width = wanted.shape
    below, right = -height % TILE, -width % TILE
    blocks = F.pad(wanted, (0, right, 0, below)).view((height + below) // TILE, TILE, -1, TILE)
    rows, columns = blocks.any(3).movedim(1, 2), blocks.any(1)  # of each part, those with a wanted pixel
    some = rows.any(2)
    table = torch.stack([rows[some], columns[some]]).int()  # (2, N, TILE)
    firsts, lasts = table.argmax(2), TILE - table.flip(2).argmax(2)
    for row, column, up, along, down, across in torch.cat([some.nonzero(), firsts.T, lasts.T], 1).tolist():
        y0, x0, y1, x1 = row * TILE + up, column * TILE + along, row * TILE + down, column * TILE + across
        top, left = (max(start - margin, 0) // GRID * GRID for start in (y0, x0))
        outer = slice(top, min(y1 + margin, height)), slice(left, min(x1 + margin, width))
        inner = torch.zeros_like(wanted[outer])
        inner[y0 - top : y1 - top, x0 - left : x1 - left] = wanted[y0:y1, x0:x1]
        yield Tile(outer, inner)
