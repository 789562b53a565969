"""InstanceFCN's assembling module: windows put together out of score maps, one for each part of an instance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def assemble(maps: Tensor, centres: Tensor, parts: int, window: int) -> Tensor:
    """Put windows together out of instance-sensitive score maps, in one gather.

    A window is divided into `parts` x `parts` cells. Each of its pixels is copied from the same place of its cell's
    map.

    Args:
        maps: float (parts * parts, h, w), the map of the top left cell first, then those to the right of it.
        centres: int64 (n, 2), row and column of the windows' middle pixels.
        window: side of a window, odd.

    Returns:
        float (n, window, window); 0 beyond the maps.
    """
    cell = torch.arange(window, device=maps.device) * parts // window
    return take(maps, centres, cell[:, None] * parts + cell, window)


def windows_of(masks: Tensor, centres: Tensor, which: Tensor, window: int) -> Tensor:
    """Windows around `centres`, (n, 2), of the masks numbered `which`, (n,), out of bool (N, h, w): bool (n, window,
    window); false beyond the masks."""
    return take(masks, centres, which[:, None, None], window)


def take(layers: Tensor, centres: Tensor, index: Tensor, window: int) -> Tensor:
    """For each pixel of windows around `centres`, the value of the layer that `index` names; 0 beyond the layers."""
    half = window // 2
    padded = F.pad(layers, (half, half, half, half))
    steps = torch.arange(window, device=layers.device)
    rows, columns = (centres[:, axis, None] + steps for axis in (0, 1))
    return padded[index, rows[:, :, None], columns[:, None, :]]
