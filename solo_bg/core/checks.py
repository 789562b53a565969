"""Checks of the labels, scores and boxes that `Instances` are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from solo_bg.core.masks import Box
from solo_bg.errors import ImageError


def check_lengths(labels: Tensor, scores: Tensor, length: int, device: torch.device) -> None:
    """Raise ValueError unless there is one label and one score for each of `length` masks, on their device."""
    for name, value in (('labels', labels), ('scores', scores)):
        if tuple(value.shape) != (length,):
            raise ValueError(f'{length} masks need {name} of shape ({length},), got {tuple(value.shape)}')
        if value.device != device:
            raise ValueError(f'masks are on {device} and {name} on {value.device}; move them together')
    if labels.is_floating_point() and length:
        raise ValueError(f'labels must be whole numbers, got {labels.dtype}')


def to_host(labels: Tensor, scores: Tensor, boxes: Tensor | None) -> tuple[list[int], list[float], list[Box]]:
    """Labels, scores and boxes as numbers, in one transfer. float64 holds them all exactly."""
    columns = [labels[:, None], scores[:, None], *([] if boxes is None else [boxes])]
    rows = torch.cat([column.double() for column in columns], 1).tolist()
    host_boxes = [(int(x0), int(y0), int(x1), int(y1)) for _, _, x0, y0, x1, y1 in rows] if boxes is not None else []
    return [int(row[0]) for row in rows], [row[1] for row in rows], host_boxes


def check_values(labels: Sequence[int], scores: Sequence[float], classes: int) -> None:
    """Raise ImageError for a score that is not finite, and ValueError for a label without a name among `classes`."""
    if not all(map(math.isfinite, scores)):
        raise ImageError('scores must be finite, got NaN or infinity: broken weights, or a precision that overflows')
    low, high = min(labels, default=0), max(labels, default=-1)
    if low < 0 or (classes and high >= classes):
        raise ValueError(f'labels go from {low} to {high}, {classes} names given')
