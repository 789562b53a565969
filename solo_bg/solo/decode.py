"""From SOLO's scored cells and their soft masks to the scores of matrix NMS. `to_image` does the rest.

A soft mask is float32 (h, w), 0 to 1, on the canvas, which is a quarter of the padded input in height and width. Soft
masks are computed and used in chunks. Only a bool mask, a quarter of the memory, is kept of every cell that passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

CHUNK = {'cpu': 2**19, 'cuda': 2**26}  # elements of a chunk: as many as fit a core's cache, or as keep a GPU busy
share = ContextVar('share', default=1)  # CHUNK is divided by this in the current thread


class SoftMasks(Protocol):
    """The soft masks of some cells, computed when they are called for."""

    def __len__(self) -> int: ...

    def __call__(self, rows: Tensor) -> Tensor:
        """int64 (k,) -> float32 (k, h, w), which the caller may overwrite."""


class Measured(NamedTuple):
    """What matrix NMS needs to know of each cell's mask.

    Attributes:
        masks: bool (n, h * w).
        areas: float32 (n,), in pixels of the canvas.
        maskness: float32 (n,), the mean of the soft mask inside the mask; 0 for an empty mask, NaN if any value is NaN.
    """

    masks: Tensor
    areas: Tensor
    maskness: Tensor


@contextmanager
def smaller_steps() -> Iterator[None]:
    """Make chunks 16 times smaller: slower, for when memory has run out."""
    token = share.set(16)
    try:
        yield
    finally:
        share.reset(token)


def chunks(count: int, each: int, device: torch.device) -> Iterator[slice]:
    """Cut range(count) into slices so that a chunk has at most CHUNK elements, with `each` elements for each item."""
    step = max(1, CHUNK[device.type] // share.get() // max(each, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def measure(parts: Sequence[SoftMasks], size: tuple[int, int], threshold: float, device: torch.device) -> Measured:
    """Area and maskness of every cell of all parts, in one pass over the soft masks."""
    count, pixels = sum(map(len, parts)), size[0] * size[1]
    masks = torch.empty(count, pixels, dtype=torch.bool, device=device)
    areas, sums = (torch.empty(count, device=device) for _ in range(2))
    start = 0
    for part in parts:
        for chunk in chunks(len(part), pixels, device):
            soft = part(torch.arange(chunk.start, chunk.stop, device=device)).flatten(1)
            rows = slice(start + chunk.start, start + chunk.stop)
            torch.gt(soft, threshold, out=masks[rows])
            areas[rows] = masks[rows].sum(1).float()
            sums[rows] = torch.threshold_(soft, threshold, 0.0).sum(1)  # lets NaN through
        start += len(part)
    return Measured(masks, areas, sums / areas.clamp(min=1))


def render(parts: Sequence[SoftMasks], rows: Tensor, size: tuple[int, int]) -> Tensor:
    """The soft masks of the chosen rows, float32 (k, h, w). Rows are numbered through all parts."""
    soft = torch.empty(len(rows), *size, device=rows.device)
    ends = list(itertools.accumulate(map(len, parts)))
    cuts = torch.stack([(rows < end).sum() for end in ends]).tolist()[
        :-1
    ]  # in sorted order the rows of a part follow each other
    for part, end, own in zip(parts, ends, rows.argsort(stable=True).tensor_split(cuts), strict=True):
        for chunk in chunks(len(own), size[0] * size[1], rows.device):
            soft[own[chunk]] = part(rows[own[chunk]] - (end - len(part)))
    return soft


def matrix_nms(measured: Measured, rows: Tensor, labels: Tensor, kernel: str, sigma: float) -> Tensor:
    """Matrix NMS (SOLOv2, https://arxiv.org/abs/2003.10152, section 3.3): the factor for each score.

    Only masks of one label decay each other, so each label is computed by itself.

    Args:
        measured: the masks.
        rows: int64 (n,), the row of each candidate's mask, best score first. Candidates may share a mask.
        labels: int64 (n,).
        kernel: `gaussian` or `linear`.
        sigma: of the gaussian.

    Returns:
        float32 (n,), 0 to 1.

    Raises:
        NotImplementedError: an unknown kernel.
    """
    if kernel not in ('gaussian', 'linear'):
        raise NotImplementedError(f'matrix NMS has the kernels gaussian and linear, got {kernel!r}')
    areas = measured.areas[rows]
    factors = torch.ones_like(areas)
    for own in torch.split(labels.argsort(stable=True), labels.bincount().tolist()):  # one wait, not one for each label
        if len(own) > 1:
            overlap = intersections(measured.masks[rows[own]])
            iou = (overlap / (areas[own] + areas[own, None] - overlap)).triu(1)
            worst = iou.amax(0)[:, None]  # how much each is itself covered by a better one
            if kernel == 'gaussian':
                decay = torch.exp(sigma * (worst**2 - iou**2))
            else:
                decay = ((1 - iou) / (1 - worst)).where(worst < 1, torch.inf)
            factors[own] = decay.amin(0)
    return factors


def intersections(masks: Tensor) -> Tensor:
    """How many pixels each pair of masks, bool (n, pixels), shares; float32 (n, n), exact up to 2**24."""
    shared = torch.zeros(len(masks), len(masks), device=masks.device)
    for chunk in chunks(masks.shape[1], len(masks), masks.device):
        part = masks[:, chunk].float()
        shared.addmm_(part, part.T)
    return shared
