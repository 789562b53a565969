"""The soft masks of some of SOLO's cells, computed when they are called for (see `decode.SoftMasks`)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from solo_bg.solo.decode import SoftMasks

Size = tuple[int, int]  # height and width


class CellMasks:
    """Soft masks from logits, float32 (k, h, w), in the resolution of their level."""

    def __init__(self, logits: Tensor, canvas: Size) -> None:
        self.logits = logits
        self.canvas = canvas

    def __len__(self) -> int:
        return len(self.logits)

    def __call__(self, rows: Tensor) -> Tensor:
        return to_canvas(F.interpolate(self.logits[rows][None], scale_factor=2, mode='bilinear'), self.canvas)


class ProductMasks:
    """Soft masks as products of a column's map and a row's map.

    Args:
        in_x, in_y: the maps of the columns and of the rows that are needed, float32 (k, h, w) each.
        columns, rows: int64 (n,), for each cell the index of its map in `in_x` and in `in_y`.
    """

    def __init__(self, in_x: Tensor, in_y: Tensor, columns: Tensor, rows: Tensor) -> None:
        self.in_x, self.in_y = in_x, in_y
        self.columns, self.rows = columns, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, rows: Tensor) -> Tensor:
        return self.in_x[self.columns[rows]].mul_(self.in_y[self.rows[rows]])


class ScaledMasks:
    """Other soft masks, each multiplied by the same map, float32 (1, h, w)."""

    def __init__(self, masks: SoftMasks, factor: Tensor) -> None:
        self.masks, self.factor = masks, factor

    def __len__(self) -> int:
        return len(self.masks)

    def __call__(self, rows: Tensor) -> Tensor:
        return self.masks(rows).mul_(self.factor)


def to_canvas(logits: Tensor, canvas: Size) -> Tensor:
    """Logits, float32 (1, k, h, w) -> probabilities, float32 (k, h, w), in the size of the canvas."""
    soft = logits.sigmoid()
    return soft[0] if tuple(soft.shape[-2:]) == canvas else F.interpolate(soft, size=canvas, mode='bilinear')[0]
