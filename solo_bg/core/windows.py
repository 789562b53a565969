"""Windows: rectangles with fractional corners that may reach beyond the image, resampled to a fixed size.

A window is (x0, y0, x1, y1) in pixels of what is resampled, where pixel i covers i to i + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Window = tuple[float, float, float, float]


def square_around(box: Sequence[float], context: float = 1.0) -> Window:
    """The square window centred on a box, xyxy. Its side is the box's longer side times `context`, at least 1."""
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0, 1) * context / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half


def cut_window(
    image: Tensor,
    window: Window,
    side: int,
    mask: Tensor | None = None,
    corner: tuple[int, int] = (0, 0),
    fill: Sequence[float] = (0, 0, 0),
    highlight: bool = False,
) -> tuple[Tensor, Tensor]:
    """Cut a square window out of an image and resize it, together with the mask of one instance.

    Args:
        image: uint8 (H, W, 3).
        window: in pixels of the image.
        side: height and width of the result.
        mask: bool (h, w), the instance's mask or a crop of it; None for no instance.
        corner: x and y of the crop's first pixel in the image.
        fill: colour where the window reaches beyond the image, in the image's channel order.
        highlight: make every pixel outside the mask 0.

    Returns:
        the window, uint8 (side, side, 3), and the mask in it, bool (side, side).
    """
    colour = torch.tensor(fill, dtype=torch.float32, device=image.device)[:, None, None]
    pixels = resample(image.permute(2, 0, 1), window, (side, side), colour).round().clamp(0, 255)
    if mask is None:
        inside = torch.zeros(side, side, dtype=torch.bool, device=image.device)
    else:
        inside = resample(mask.float(), moved(window, corner), (side, side)) > 0.5
    if highlight:
        pixels = pixels * inside
    return pixels.to(torch.uint8).permute(1, 2, 0).contiguous(), inside


def moved(window: Window, corner: tuple[float, float]) -> Window:
    """The same window in the coordinates of a crop whose first pixel is at `corner`, (x, y)."""
    x, y = corner
    return window[0] - x, window[1] - y, window[2] - x, window[3] - y


def resample(values: Tensor, window: Window, size: tuple[int, int], beyond: Tensor | float = 0.0) -> Tensor:
    """Resample a window, bilinear where it is enlarged and smoothed where it is reduced.

    Args:
        values: (..., H, W), of any type of numbers.
        window: in pixels of `values`.
        size: height and width of the result.
        beyond: the value beyond the edges of `values`, a number or (..., 1, 1).

    Returns:
        float32 (..., height, width).
    """
    x0, y0, x1, y1 = window
    rows, down = axis_weights(y0, y1 - y0, size[0], values.shape[-2])
    columns, across = axis_weights(x0, x1 - x0, size[1], values.shape[-1])
    device = values.device
    part = values[..., rows, columns].float() - beyond
    return down.to(device) @ part @ across.T.to(device) + beyond


def axis_weights(start: float, length: float, count: int, pixels: int) -> tuple[slice, Tensor]:
    """How `count` equal cells of a stretch of one axis are computed from its pixels.

    Each cell is a mean with triangular weights around its centre. The triangle reaches as far on each side as a cell is
    long, and at least one pixel, which is bilinear interpolation.

    Args:
        start, length: of the stretch, which may reach beyond the axis.
        count: number of cells.
        pixels: length of the axis.

    Returns:
        the pixels that have weights, and the weights, float32 (count, number of these pixels). A cell's weights add
        up to 1, less what lies beyond the axis.
    """
    step = length / count
    reach = max(step, 1.0)
    centres = start - 0.5 + (torch.arange(count, dtype=torch.float64) + 0.5) * step
    first = math.floor(start - reach)
    end = math.ceil(start + length + reach) + 1
    positions = torch.arange(first, end, dtype=torch.float64)
    weights = (1 - (centres[:, None] - positions).abs() / reach).clamp(min=0)
    weights = weights / weights.sum(1, keepdim=True)
    low = min(max(first, 0), pixels)
    high = max(low, min(end, pixels))
    return slice(low, high), weights[:, low - first : high - first].float()
