"""The foreground's colours at soft edges, where the image shows them mixed with the background's.

After Forte, "Approximate Fast Foreground Colour Estimation", 2021: colours of foreground and background are averaged
around each pixel, then moved so that, mixed by alpha, they give the image; twice, with a large and a small window.
Means are computed for blocks of pixels, and interpolated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from solo_bg.draw.box_sums import block_side, block_sums, box_sum, enlarge, reach

RADII = (32, 6)  # pixels
REACH = sum(map(reach, RADII))


def foreground_colours(image: Tensor, alpha: Tensor) -> Tensor:
    """The image without the background's share in its soft pixels, uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, 3).
        alpha: uint8 (H, W).
    """
    given = image.permute(2, 0, 1).float()
    opacity = (alpha.float() / 255)[None]
    foreground = background = given
    for radius in RADII:
        side = block_side(radius)
        shares = torch.cat([opacity, foreground * opacity, 1 - opacity, background * (1 - opacity)])
        sums = box_sum(block_sums(shares, side), radius // side)
        means = torch.cat([sums[1:4] / sums[:1].clamp_min(1e-3), sums[5:] / sums[4:5].clamp_min(1e-3)])
        foreground, background = enlarge(means, side, *alpha.shape).split(3)
        missing = given - opacity * foreground - (1 - opacity) * background
        foreground = (foreground + opacity * missing).clamp(0, 255)
    return foreground.round().to(torch.uint8).permute(1, 2, 0)
