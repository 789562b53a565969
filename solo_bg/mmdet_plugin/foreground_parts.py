"""The connected parts of a mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def connected_parts(mask: Tensor, min_area: int, most: int) -> Tensor:
    """Split a mask into its connected parts; pixels that touch at a corner are connected.

    Args:
        mask: bool (H, W).
        min_area: parts of fewer pixels are left out.
        most: largest number of parts; the largest parts are kept.

    Returns:
        bool (N, H, W) on the mask's device, the largest part first.
    """
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.cpu().numpy().astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # row 0 is the background
    order = np.argsort(-areas, kind='stable')[:most]
    chosen = torch.from_numpy(order[areas[order] >= min_area] + 1).to(mask.device)
    return torch.from_numpy(numbers).to(mask.device) == chosen[:, None, None]
