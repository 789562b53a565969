"""Draws class names at the centres of mass. OpenCV renders the letters on the host; the device draws them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.transfer import upload
from solo_bg.draw.compose import colourise

FONT, SCALE, MARGIN = cv2.FONT_HERSHEY_COMPLEX, 0.3, 4


def overlay(image: Tensor, instances: Instances) -> Tensor:
    """Style: the picture that `show_result_ins` draws, uint8 (H, W, 3)."""
    return write_names(colourise(image, instances), instances)


def write_names(picture: Tensor, instances: Instances) -> Tensor:
    """Write each instance's class name in white, in place.

    Instances are drawn from the last to the first, each with its name, and what is drawn later covers what is below. So
    a letter of instance k is visible where the owner is k or a later instance, and nowhere on background.

    Args:
        picture: uint8 (H, W, 3), contiguous, overwritten.
        instances: of this picture.

    Returns:
        the picture.
    """
    places, writers = upload(torch.from_numpy(letters(instances)), picture.device)
    visible = instances.owner_map.flatten()[places] >= writers
    pixels = picture.view(-1, 3)
    pixels[places] = pixels[places].masked_fill(visible[:, None], 255)
    return picture


def letters(instances: Instances) -> NDArray[np.int64]:
    """The pixels of all letters, int64 (2, P): the index of a pixel of the flattened picture, and its instance's index.

    No pixel occurs twice. Where letters of several instances meet, the first of these instances is given, because its
    letter is visible wherever a letter of the others is.
    """
    height, width = instances.size
    found = [np.zeros((2, 0), np.int64)]
    for index, (name, (x, y)) in enumerate(zip(instances.names, instances.centres.tolist(), strict=True)):
        if math.isnan(x):  # an empty mask is not drawn
            continue
        x0, y0, drawn = render(name, max(int(x) - 10, 0), int(y), height, width)
        rows, columns = drawn.nonzero()
        found.append(np.stack([(rows + y0) * width + columns + x0, np.full_like(rows, index)]))
    everything = np.concatenate(found, 1)
    return everything[:, np.unique(everything[0], return_index=True)[1]]  # gives the first of equal pixels


def render(text: str, x: int, y: int, height: int, width: int) -> tuple[int, int, np.ndarray]:
    """The pixels that `cv2.putText` sets in a picture of this height and width; (x, y) is the text's lower left corner.

    Renders only the part of the picture around the text. It is cut at the picture's edges, where OpenCV clips lines.

    Returns:
        left and top of that part, and its pixels, bool (h, w).
    """
    (text_width, text_height), baseline = cv2.getTextSize(text, FONT, SCALE, 1)
    x0, x1 = max(x - MARGIN, 0), min(x + text_width + MARGIN, width)
    y0, y1 = max(y - text_height - MARGIN, 0), min(y + baseline + MARGIN, height)
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.putText(canvas, text, (x - x0, y - y0), FONT, SCALE, 255)
    return x0, y0, canvas > 0
