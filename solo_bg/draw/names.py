"""Class names at the centres of mass: letters by OpenCV on the host, laid over the picture on its device."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.draw.compose import colourise

FONT, SCALE, MARGIN = cv2.FONT_HERSHEY_COMPLEX, 0.3, 4


def overlay(image: Tensor, instances: Instances) -> Tensor:
    """Style: the picture that `show_result_ins` draws, uint8 (H, W, 3)."""
    return write_names(colourise(image, instances), instances)


def write_names(picture: Tensor, instances: Instances) -> Tensor:
    """Write each instance's class name in white, in place.

    Drawing goes from the last instance to the first, and what is drawn later covers a name; so a letter of instance k
    shows where the owner is k or comes after k, and nowhere on background.

    Args:
        picture: uint8 (H, W, 3), overwritten.
        instances: of this picture.

    Returns:
        the picture.
    """
    height, width = instances.size
    owner = instances.owner_map
    for index, (name, (x, y)) in enumerate(zip(instances.names, instances.centres.tolist(), strict=True)):
        if np.isnan(x):  # an empty mask is not drawn
            continue
        x0, y0, letters = render(name, max(int(x) - 10, 0), int(y), height, width)
        region = (slice(y0, y0 + letters.shape[0]), slice(x0, x0 + letters.shape[1]))
        visible = torch.from_numpy(letters).to(picture.device, non_blocking=True) & (owner[region] >= index)
        picture[region].masked_fill_(visible[..., None], 255)
    return picture


def render(text: str, x: int, y: int, height: int, width: int) -> tuple[int, int, np.ndarray]:
    """The pixels that `cv2.putText` sets at (x, y), the text's lower left corner, in a picture of height and width.

    Only the part of the picture around the text is rendered, cut at the picture's own edges, where OpenCV clips lines.

    Returns:
        left and top of that part, and its pixels, bool (h, w).
    """
    (text_width, text_height), baseline = cv2.getTextSize(text, FONT, SCALE, 1)
    x0, x1 = max(x - MARGIN, 0), min(x + text_width + MARGIN, width)
    y0, y1 = max(y - text_height - MARGIN, 0), min(y + baseline + MARGIN, height)
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.putText(canvas, text, (x - x0, y - y0), FONT, SCALE, 255)
    return x0, y0, canvas > 0
