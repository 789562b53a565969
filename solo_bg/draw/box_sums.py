"""Sums over square windows, also of blocks of pixels, which are quicker. Pure tensors, on any device.

Where windows are large, sums over blocks of pixels are added up instead of pixels, and results for the blocks are
interpolated ("Fast Guided Filter", He and Sun, 2015). Unlike there, every pixel counts in the sums of its block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_BLOCK = 4  # pixels; a power of two


def block_side(radius: int) -> int:
    """The side of the blocks for windows of this radius: a power of two, at most a third of the radius."""
    side = 1
    while 2 * side <= min(radius // 3, LARGEST_BLOCK):
        side *= 2
    return side


def reach(radius: int) -> int:
    """How far a pixel's interpolated window sum reaches, in pixels, at most."""
    side = block_side(radius)
    return radius + 2 * side if side > 1 else radius


def planes(image: Tensor) -> Tensor:
    """uint8 (H, W, 3) -> float32 (3, H, W), channel after channel in memory, which makes what follows quicker."""
    return image.permute(2, 0, 1).contiguous().float()


def block_sums(values: Tensor, side: int) -> Tensor:
    """Sums over blocks of `side` times `side` pixels, cut at the lower and right border: (C, H, W) -> (C, h, w)."""
    if side == 1:
        return values
    channels, height, width = values.shape
    if height % side or width % side:
        values = F.pad(values, (0, -width % side, 0, -height % side))
    rows = values.view(channels, -1, side, values.shape[2]).sum(2)
    return rows.view(channels, rows.shape[1], -1, side).sum(3)


def enlarge(values: Tensor, side: int, height: int, width: int) -> Tensor:
    """Values of blocks for each pixel, bilinear between the blocks' centres: (C, h, w) -> (C, height, width)."""
    if side == 1:
        return values
    large = F.interpolate(values[None], scale_factor=side, mode='bilinear', align_corners=False)[0]
    return large[:, :height, :width]


def sample(values: Tensor, side: int, rows: Tensor, columns: Tensor) -> Tensor:
    """What `enlarge` gives at some pixels: (C, h, w), and int64 (N,) twice -> (C, N)."""
    if side == 1:
        return values[:, rows, columns]
    height, width = values.shape[1:]
    x, y = ((2 * place + 1) / (side * length) - 1 for place, length in ((columns, width), (rows, height)))
    grid = torch.stack([x, y], 1)[None, None]  # (1, 1, N, 2), from -1 to 1 between the outer edges
    return F.grid_sample(values[None], grid, 'bilinear', 'border', align_corners=False)[0, :, 0]


def box_sum(values: Tensor, radius: int) -> Tensor:
    """Sums over windows of (2 * radius + 1) squared pixels, cut at the border: (C, H, W) -> (C, H, W)."""
    size = 2 * radius + 1
    for pad, dim in (((0, 0, radius + 1, radius), 1), ((radius + 1, radius, 0, 0), 2)):
        summed = F.pad(values, pad).cumsum(dim)
        values = summed.narrow(dim, size, values.shape[dim]) - summed.narrow(dim, 0, values.shape[dim])
    return values
