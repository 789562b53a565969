"""The foreground's colours at soft edges, where the image shows them mixed with the background's.

After Forte, "Approximate Fast Foreground Colour Estimation", 2021: colours of foreground and background are averaged
around each pixel, then moved so that, mixed by alpha, they give the image; twice, with a large and a small window.
Means are computed for blocks of pixels, and interpolated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from solo_bg.draw.box_sums import block_side, block_sums, box_sum, enlarge, planes, reach, sample

RADII = (32, 6)  # pixels
REACH = sum(map(reach, RADII))


def foreground_colours(image: Tensor, alpha: Tensor, wanted: Tensor) -> Tensor:
    """The image's colours without the background's share, of the wanted pixels, row by row: uint8 (N, 3).

    Args:
        image: uint8 (H, W, 3).
        alpha: uint8 (H, W).
        wanted: bool (H, W).
    """
    given, opacity = planes(image), (alpha.float() / 255)[None]
    side, means = mean_colours(given, given, opacity, RADII[0])
    foreground, background = unmix(given, opacity, enlarge(means, side, *alpha.shape))
    side, means = mean_colours(foreground, background, opacity, RADII[1])
    rows, columns = wanted.nonzero(as_tuple=True)
    given, opacity = given[:, rows, columns], opacity[:, rows, columns]
    foreground, _ = unmix(given, opacity, sample(means, side, rows, columns))
    return foreground.round().to(torch.uint8).T


def mean_colours(foreground: Tensor, background: Tensor, opacity: Tensor, radius: int) -> tuple[int, Tensor]:
    """Means of colours, (3, H, W), around blocks of pixels, weighted by opacity, (1, H, W), or its complement.

    Returns:
        the side of the blocks; and the means of foreground and background, (6, h, w).
    """
    side, clear = block_side(radius), 1 - opacity
    shares = torch.cat([opacity, foreground * opacity, clear, background * clear])
    sums = box_sum(block_sums(shares, side), radius // side)
    return side, torch.cat([sums[1:4] / sums[:1].clamp_min(1e-3), sums[5:] / sums[4:5].clamp_min(1e-3)])


def unmix(given: Tensor, opacity: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Foreground colours moved so that, mixed with the background's by opacity, they give the image; and the
    background's. `means` are those of both, (6, ...)."""
    foreground, background = means[:3], means[3:]
    missing = given - torch.lerp(background, foreground, opacity)
    return (foreground + opacity * missing).clamp(0, 255), background
