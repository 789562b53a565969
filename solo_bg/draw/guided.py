"""Alpha by a guided filter: in every window alpha is a linear function of colour. Pure tensors, on any device."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_bg.draw.trimap import Trimap

UNKNOWN = 0.05  # weight of unknown pixels, whose mask may be wrong, against 1 for certain ones
LEAST, MOST = 0.05, 0.95  # of alpha, spread to 0 and 1: a linear function seldom reaches the ends
LITTLE = 1e-5  # variance of the values, of 1, that is none
POOR, GOOD = 0.5, 0.9  # of the opacity's variance that colour explains: where it is poor, the opacity stays


def guided(radius: int, eps: float) -> Callable[[Tensor, Tensor, Trimap], Tensor]:
    """The estimate of `--refine guided`.

    Args:
        radius: of the windows, in pixels.
        eps: variance of colour, of 1, below which it does not count.
    """
    return lambda image, opacity, trimap: estimate_alpha(image, opacity, trimap, radius, eps)[0]


def estimate_alpha(image: Tensor, opacity: Tensor, trimap: Trimap, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """The opacity filtered with the image as the guide; certain pixels count more than unknown ones.

    Where foreground and background have the same colours, the filter would only blur; there the opacity stays.

    Args:
        image: uint8 (H, W, 3).
        opacity: uint8 (H, W).

    Returns:
        alpha, float32 (H, W), from 0 to 1; and how far it comes from colour, float32 (H, W), from 0 to 1.
    """
    guide, given = image.permute(2, 0, 1).float() / 255, opacity.float() / 255
    weight = torch.where(trimap.unknown, UNKNOWN, 1.0)
    filtered, explained = guided_filter(guide, given, radius, eps, weight)
    trust = ((explained - POOR) / (GOOD - POOR)).clamp(0, 1)
    filtered = ((filtered - LEAST) / (MOST - LEAST)).clamp(0, 1)
    return torch.lerp(given, filtered, trust), trust


def guided_filter(
    guide: Tensor, values: Tensor, radius: int, eps: float, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Guided filter with a colour guide (He, Sun and Tang, 2010), with weights for the fits.

    In each window of (2 * radius + 1) squared pixels, cut at the image's border, `values` are fitted by a linear
    function of the guide's three channels. A pixel's result is the mean of the functions of all windows around it.

    Args:
        guide: float32 (3, H, W), 0 to 1.
        values: float32 (H, W).
        eps: added to the variance of each channel.
        weight: float32 (H, W), positive: how much each pixel counts in the fits; None: all the same.

    Returns:
        the filtered values, float32 (H, W); and the share of the values' variance in the windows that the functions
        explain, their mean around each pixel, float32 (H, W), from 0 to 1.
    """
    weight = torch.ones_like(values) if weight is None else weight
    guide, values = guide - 0.5, values - 0.5  # sums of smaller numbers round less
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    products = torch.stack([guide[i] * guide[j] for i, j in pairs])
    given = torch.cat([guide, values[None], guide * values, products, values[None] ** 2])
    sums = box_sum(torch.cat([weight[None], given * weight]), radius)
    means = sums[1:] / sums[0]
    mean_guide, mean_values = means[:3], means[3]
    covariance = means[4:7] - mean_guide * mean_values
    variance = means[7:13] - torch.stack([mean_guide[i] * mean_guide[j] for i, j in pairs])
    variance[:3] += eps
    slope = solve_symmetric(variance, covariance)
    offset = mean_values - (slope * mean_guide).sum(0)
    explained = (slope * covariance).sum(0) / (means[13] - mean_values**2).clamp_min(LITTLE)
    sums = box_sum(torch.stack([torch.ones_like(weight), *slope, offset, explained.clamp(0, 1)]), radius)
    slope, offset, explained = sums[1:4] / sums[0], sums[4] / sums[0], sums[5] / sums[0]
    return (slope * guide).sum(0) + offset + 0.5, explained


def solve_symmetric(matrix: Tensor, right: Tensor) -> Tensor:
    """x of A x = b for symmetric 3x3 matrices, by cofactors.

    Args:
        matrix: (6, ...): A00, A11, A22, A01, A02, A12.
        right: (3, ...).

    Returns:
        (3, ...).
    """
    a, d, f, b, c, e = matrix
    rows = [
        [d * f - e * e, c * e - b * f, b * e - c * d],
        [c * e - b * f, a * f - c * c, b * c - a * e],
        [b * e - c * d, b * c - a * e, a * d - b * b],
    ]
    determinant = a * rows[0][0] + b * rows[0][1] + c * rows[0][2]
    return torch.stack([sum(x * y for x, y in zip(row, right, strict=True)) / determinant for row in rows])


def box_sum(values: Tensor, radius: int) -> Tensor:
    """Sums over windows of (2 * radius + 1) squared pixels, cut at the border: (C, H, W) -> (C, H, W)."""
    size = 2 * radius + 1
    for pad, dim in (((0, 0, radius + 1, radius), 1), ((radius + 1, radius, 0, 0), 2)):
        summed = F.pad(values, pad).cumsum(dim)
        values = summed.narrow(dim, size, values.shape[dim]) - summed.narrow(dim, 0, values.shape[dim])
    return values
