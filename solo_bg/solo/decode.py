"""Pure tensors: from SOLO's scored cells and their soft masks to masks in the image's own pixels.

A soft mask is float32 (h, w), 0 to 1, on the canvas: a quarter of the padded input in height and width. Soft masks are
made and used a chunk at a time; what is kept of every cell that passes is a bool mask, a quarter of their size.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_bg.core.crops import Crops, Shelf
from solo_bg.core.masks import first_and_end
from solo_bg.solo.precision import full_float32

CHUNK = {'cpu': 2**19, 'cuda': 2**26}  # elements under way at once: what a core's cache holds; what fills a GPU
share = ContextVar('share', default=1)  # of CHUNK: what divides it in this thread
BAND = {'cpu': 128, 'cuda': 4096}  # rows or columns of an image at once: narrow bands waste few products with zero


class SoftMasks(Protocol):
    """The soft masks of some cells, computed when asked for."""

    def __len__(self) -> int: ...

    def __call__(self, rows: Tensor) -> Tensor:
        """int64 (k,) -> float32 (k, h, w), the caller's to overwrite."""


class Measured(NamedTuple):
    """What matrix NMS needs to know of each cell's mask.

    Attributes:
        masks: bool (n, h * w).
        areas: float32 (n,), in pixels of the canvas.
        maskness: float32 (n,), the mean of the soft mask inside the mask, 0 if it is empty; NaN if any value was.
    """

    masks: Tensor
    areas: Tensor
    maskness: Tensor


@contextmanager
def smaller_steps() -> Iterator[None]:
    """Meanwhile a sixteenth is under way at once: slower, where memory has run out."""
    token = share.set(16)
    try:
        yield
    finally:
        share.reset(token)


def chunks(count: int, each: int, device: torch.device) -> Iterator[slice]:
    """Slices of 0..count, so long that one chunk's `each` elements apiece stay within bounds."""
    step = max(1, CHUNK[device.type] // share.get() // max(each, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def measure(parts: Sequence[SoftMasks], size: tuple[int, int], threshold: float, device: torch.device) -> Measured:
    """Area and maskness of every cell, in one pass over the soft masks; part after part."""
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
    """The soft masks of the chosen rows, counted through all parts, float32 (k, h, w)."""
    soft = torch.empty(len(rows), *size, device=rows.device)
    ends = list(itertools.accumulate(map(len, parts)))
    cuts = torch.stack([(rows < end).sum() for end in ends]).tolist()[:-1]  # sorted, each part's rows are one piece
    for part, end, own in zip(parts, ends, rows.argsort(stable=True).tensor_split(cuts), strict=True):
        for chunk in chunks(len(own), size[0] * size[1], rows.device):
            soft[own[chunk]] = part(rows[own[chunk]] - (end - len(part)))
    return soft


def matrix_nms(measured: Measured, rows: Tensor, labels: Tensor, kernel: str, sigma: float) -> Tensor:
    """Matrix NMS (SOLOv2, https://arxiv.org/abs/2003.10152, section 3.3): by how much each score is to be multiplied.

    Only masks of one label decay each other, so each label is computed by itself.

    Args:
        measured: the masks.
        rows: int64 (n,), whose mask each candidate has, best score first. Candidates of several labels may share one.
        labels: int64 (n,).
        kernel: `gaussian` or `linear`.
        sigma: of the gaussian.

    Returns:
        float32 (n,), 0 to 1.

    Raises:
        NotImplementedError: another kernel.
    """
    if kernel not in ('gaussian', 'linear'):
        raise NotImplementedError(f'matrix NMS has the kernels gaussian and linear, got {kernel!r}')
    areas = measured.areas[rows]
    factors = torch.ones_like(areas)
    for own in torch.split(labels.argsort(stable=True), labels.bincount().tolist()):  # else each label waits
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
    """Pixels that each two masks, bool (n, pixels), share; float32 (n, n), exact up to 2**24."""
    shared = torch.zeros(len(masks), len(masks), device=masks.device)
    for chunk in chunks(masks.shape[1], len(masks), masks.device):
        part = masks[:, chunk].float()
        shared.addmm_(part, part.T)
    return shared


class ToImage:
    """Brings soft masks from the canvas to the image: up four times, cut to what is not padding, to the image's size.

    Both steps are bilinear and linear, so along each axis they are one small matrix, of which each row reaches over
    few columns. A mask is computed inside its box alone.

    Args:
        canvas: height and width of the soft masks.
        cut: height and width of the model's input without the padding.
        size: height and width of the image.
    """

    def __init__(self, canvas: tuple[int, int], cut: tuple[int, int], size: tuple[int, int], device: torch.device):
        self.rows, self.columns = (axis(*sides, device) for sides in zip(canvas, cut, size, strict=True))

    @full_float32()
    def __call__(self, soft: Tensor, threshold: float) -> tuple[Tensor, Crops]:
        """float32 (n, h, w) -> boxes, int64 (n, 4), and the masks cut to them."""
        above = soft > threshold
        tops, bottoms = self.rows.reach(above.any(2))
        lefts, rights = self.columns.reach(above.any(1))
        outer = torch.stack([lefts, tops, rights, bottoms], 1)
        outer_boxes, crops, boxes = outer.tolist(), [], []
        shelf = Shelf(((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in outer_boxes), soft.device)
        for mask, box in zip(soft, outer_boxes, strict=True):
            crop = self.crop(mask, box, threshold)
            boxes.append(occupied(crop))
            crops.append(shelf.put(crop))  # at once: those of a large image would take a gigabyte
        inner = torch.stack(boxes) if boxes else outer
        trimmed = Crops(crop[y0:y1, x0:x1] for crop, (x0, y0, x1, y1) in zip(crops, inner.tolist(), strict=True))
        empty = (inner[:, 2] == 0)[:, None]
        return (inner + outer[:, [0, 1, 0, 1]]).masked_fill(empty, 0), trimmed

    def crop(self, soft: Tensor, box: tuple[int, int, int, int], threshold: float) -> Tensor:
        """The mask of the image inside a box: along the rows, then along the columns, a band at a time."""
        x0, y0, x1, y1 = box
        mask = torch.empty(y1 - y0, x1 - x0, dtype=torch.bool, device=soft.device)
        if not mask.numel():
            return mask
        source = self.rows.window(y0, y1)
        wide = soft.new_empty(x1 - x0, source.stop - source.start)  # as wide as the box, as high as the canvas
        for band, weights, used in self.columns.bands(x0, x1):
            torch.mm(weights, soft[source, used].T, out=wide[band])
        for band, weights, used in self.rows.bands(y0, y1):
            values = weights @ wide[:, used.start - source.start : used.stop - source.start].T
            torch.gt(values, threshold, out=mask[band])
        return mask


class Axis:
    """One axis of `ToImage`: `matrix`, float32 (image, canvas), and what reaches where."""

    def __init__(self, canvas: int, cut: int, size: int, device: torch.device) -> None:
        steps = F.interpolate(torch.eye(canvas)[None], size=4 * canvas, mode='linear')[..., :cut]
        matrix = F.interpolate(steps, size=size, mode='linear')[0].T
        first, end = first_and_end(matrix != 0)
        self.first, self.end = first.tolist(), end.tolist()
        self.matrix = matrix.to(device).contiguous()
        self.step = BAND[device.type]
        self.touches = (self.matrix != 0).float()

    def window(self, start: int, stop: int) -> slice:
        """The part of the canvas that the image's rows `start` to `stop` are made of."""
        return slice(self.first[start], self.end[stop - 1])

    def bands(self, start: int, stop: int) -> Iterator[tuple[slice, Tensor, slice]]:
        """Positions `start` to `stop` of the image in bands: where each lies counted from `start`, its weights, and the
        part of the canvas they are for."""
        for first in range(start, stop, self.step):
            end = min(first + self.step, stop)
            used = self.window(first, end)
            yield slice(first - start, end - start), self.matrix[first:end, used], used

    def reach(self, occupied: Tensor) -> tuple[Tensor, Tensor]:
        """bool (n, canvas) -> the first and one past the last position, int64 (n,), that can be above the threshold."""
        return first_and_end(occupied.float() @ self.touches.T > 0)


@functools.lru_cache(maxsize=16)
def axis(canvas: int, cut: int, size: int, device: torch.device) -> Axis:
    return Axis(canvas, cut, size, device)


def occupied(mask: Tensor) -> Tensor:
    """The smallest box around what is set in bool (h, w): int64 (4,), xyxy, half open; zeros if nothing is."""
    if not mask.numel():
        return torch.zeros(4, dtype=torch.int64, device=mask.device)
    bits = mask.view(torch.uint8)  # amax is several times faster than `any`
    y0, y1 = first_and_end(bits.amax(1).bool()[None])
    x0, x1 = first_and_end(bits.amax(0).bool()[None])
    return torch.cat([x0, y0, x1, y1])
