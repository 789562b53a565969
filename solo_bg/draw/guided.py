"""Alpha by a guided filter: in every window alpha is a linear function of colour. Pure tensors, on any device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from solo_bg.draw.box_sums import block_side, block_sums, box_sum, enlarge, planes, sample
from solo_bg.draw.trimap import Trimap

UNKNOWN = 0.05  # weight of unknown pixels, whose mask may be wrong, against 1 for certain ones
LEAST, MOST = 0.05, 0.95  # of alpha, spread to 0 and 1: a linear function seldom reaches the ends
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of channels, in the order of `solve_symmetric`
LITTLE = 1e-5  # variances of values in 0..1 below this count as this
POOR, GOOD = 0.5, 0.9  # share of the opacity's variance that colour explains: up to POOR, the opacity stays


def guided(radius: int, eps: float) -> Callable[[Tensor, Tensor, Trimap], Tensor]:
    """The estimate of `--refine guided`.

    Args:
        radius: of the windows, in pixels.
        eps: variance of colour, of 1, below which it does not count.
    """

    def estimate(image: Tensor, opacity: Tensor, trimap: Trimap) -> Tensor:
        alpha = opacity.float() / 255
        alpha[trimap.unknown] = estimate_alpha(image, opacity, trimap, radius, eps)[0]
        return alpha

    return estimate


def estimate_alpha(image: Tensor, opacity: Tensor, trimap: Trimap, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """The opacity filtered with the image as the guide; certain pixels count more than unknown ones.

    Where foreground and background have the same colours, the filter would only blur; there the opacity stays.

    Args:
        image: uint8 (H, W, 3).
        opacity: uint8 (H, W).

    Returns:
        alpha of the unknown pixels, row by row, float32 (N,), from 0 to 1; and how far it comes from colour, float32
        (N,), from 0 to 1.
    """
    guide, given, unknown = planes(image) / 255, opacity.float() / 255, trimap.unknown
    functions = linear_functions(guide, given, radius, eps, torch.where(unknown, UNKNOWN, 1.0))
    rows, columns = unknown.nonzero(as_tuple=True)
    here = sample(functions, block_side(radius), rows, columns)
    filtered, given = apply(here, guide[:, rows, columns]), given[rows, columns]
    trust = ((here[4] - POOR) / (GOOD - POOR)).clamp(0, 1)
    filtered = ((filtered - LEAST) / (MOST - LEAST)).clamp(0, 1)
    return torch.lerp(given, filtered, trust), trust


def guided_filter(
    guide: Tensor, values: Tensor, radius: int, eps: float, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Guided filter with a colour guide (He, Sun and Tang, 2010), with weights for the fits.

    In each window of (2 * radius + 1) squared pixels, cut at the image's border, `values` are fitted by a linear
    function of the guide's three channels. A pixel's result is the mean of the functions of all windows around it.
    From a radius of 6 on, windows consist of whole blocks of pixels (`block_side`). Each block has a function, made
    from all pixels of the blocks around it, and between the blocks' centres functions are interpolated.

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
    functions = enlarge(linear_functions(guide, values, radius, eps, weight), block_side(radius), *values.shape)
    return apply(functions, guide), functions[4]


def linear_functions(guide: Tensor, values: Tensor, radius: int, eps: float, weight: Tensor) -> Tensor:
    """The mean of the functions of all windows around each block of pixels; arguments as in `guided_filter`.

    Returns:
        (5, h, w): as `fit` returns them.
    """
    side = block_side(radius)
    sums = box_sum(block_sums(moments(guide - 0.5, values - 0.5, weight), side), radius // side)
    functions = fit(sums[1:] / sums[0], eps)
    return box_sum(functions, radius // side) / box_sum(torch.ones_like(functions[:1]), radius // side)


def apply(functions: Tensor, guide: Tensor) -> Tensor:
    """The values, (...), of linear functions, (5, ...), of the guide's colours, (3, ...), each moved by 0.5: sums of
    smaller numbers round less."""
    return (functions[:3] * (guide - 0.5)).sum(0) + functions[3] + 0.5


def moments(guide: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """What a fit needs of each pixel, times its weight: 1, the guide, the values and their products, (15, H, W)."""
    found = values.new_empty(15, *values.shape)
    found[0], found[1:4], found[4] = weight, guide, values
    torch.mul(found[1:5], weight, out=found[1:5])
    torch.mul(found[1:5], values, out=found[5:9])  # the products of the guide and the values, and the values' square
    for index, (first, second) in enumerate(PAIRS):
        torch.mul(found[1 + first], guide[second], out=found[9 + index])
    return found


def fit(means: Tensor, eps: float) -> Tensor:
    """The linear functions of windows, from the means of `moments` without the first.

    Returns:
        (5, h, w): the three slopes, the offset, and the share of the values' variance that the function explains.
    """
    mean_guide, mean_values = means[:3], means[3]
    covariance = means[4:7] - mean_guide * mean_values
    variance = means[8:] - torch.stack([mean_guide[i] * mean_guide[j] for i, j in PAIRS])
    variance[:3] += eps
    slope = solve_symmetric(variance, covariance)
    offset = mean_values - (slope * mean_guide).sum(0)
    explained = (slope * covariance).sum(0) / (means[7] - mean_values**2).clamp_min(LITTLE)
    return torch.stack([*slope, offset, explained.clamp(0, 1)])


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
