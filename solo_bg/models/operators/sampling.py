"""Bilinear sampling at positions between pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(input: Tensor, y: Tensor, x: Tensor, outside: str) -> Tensor:
    """Sample an input bilinearly.

    Args:
        input: float (B, C, H, W).
        y, x: float (B, rows, columns), positions in pixels; 0 is the centre of the first pixel.
        outside: what lies outside the input: `zeros`, or `border` for the value of the nearest pixel.

    Returns:
        (B, C, rows, columns), float64 if the input is float64, else float32.
    """
    height, width = input.shape[-2:]
    dtype = torch.promote_types(input.dtype, torch.float32)
    grid = torch.stack([(2 * x.to(dtype) + 1) / width - 1, (2 * y.to(dtype) + 1) / height - 1], -1)
    return F.grid_sample(input.to(dtype), grid, padding_mode=outside, align_corners=False)
