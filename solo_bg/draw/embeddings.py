"""Embeddings of pixels as a picture, with the seeds that instances grow from."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

RADIUS = 1 / 80  # of a seed's mark, as a part of the picture's longer side


def embedding_picture(embedding: Tensor, size: tuple[int, int], seeds: Tensor | None = None) -> NDArray[np.uint8]:
    """Colour each pixel by the first three principal components of its embedding.

    The components are blue, green and red, in the order of their variance. Each is stretched to 0..255. Equal
    embeddings have equal colours. Seeds are white discs with a black edge.

    Args:
        embedding: float (D, h, w), finite, without the padding of a batch.
        size: height and width of the picture. Pixels of the feature map become rectangles.
        seeds: int64 (n,), positions in the flattened feature map.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    height, width = embedding.shape[-2:]
    components = principal_components(embedding.flatten(1).double().cpu().T, 3)
    low, high = components.amin(0), components.amax(0)
    colours = (components - low) / (high - low).clamp(min=1e-12) * 255
    small = colours.T.reshape(1, 3, height, width)
    picture = np.ascontiguousarray(
        F.interpolate(small, size, mode='nearest')[0].permute(1, 2, 0).round().byte().numpy()
    )
    radius = max(2, round(max(size) * RADIUS))
    for position in [] if seeds is None else seeds.tolist():
        centre = (
            int((position % width + 0.5) * size[1] / width),
            int((position // width + 0.5) * size[0] / height),
        )
        cv2.circle(picture, centre, radius, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(picture, centre, max(1, radius - 1), (255, 255, 255), -1, cv2.LINE_AA)
    return picture


def principal_components(rows: Tensor, count: int) -> Tensor:
    """The first principal components of rows, float64 (n, D) -> (n, count), largest variance first; 0 where D is less.

    A component's sign is free. It is chosen so that the largest weight is positive, and equal rows give equal pictures.
    """
    centred = rows - rows.mean(0)
    _, axes = torch.linalg.eigh(centred.T @ centred)  # ascending
    axes = axes.flip(1)[:, :count]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return F.pad(centred @ (axes * largest.sign()), (0, count - axes.shape[1]))
