"""Bilinear sampling between pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(input: Tensor, y: Tensor, x: Tensor, outside: str) -> Tensor:
    """Values of (B, C, H, W) at y and x (B, rows, columns), where 0 is the centre of the first pixel.

    Args:
        outside: `zeros`, or `border` for the value of the nearest pixel.

    Returns:
        (B, C, rows, columns), float32 or, where input is, float64.
    """
    height, width = input.shape[-2:]
    dtype = torch.promote_types(input.dtype, torch.float32)
    grid = torch.stack([(2 * x.to(dtype) + 1) / width - 1, (2 * y.to(dtype) + 1) / height - 1], -1)
    return F.grid_sample(input.to(dtype), grid, padding_mode=outside, align_corners=False)
