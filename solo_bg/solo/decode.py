"""From SOLO's scored cells and their soft masks to masks of the image's size.

A soft mask is float32 (h, w), 0 to 1, on the canvas, which is a quarter of the padded input in height and width. Soft
masks are computed and used in chunks. Only a bool mask, a quarter of the memory, is kept of every cell that passes.
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
from solo_bg.core.masks import first_and_end, together
from solo_bg.solo.precision import full_float32

CHUNK = {'cpu': 2**19, 'cuda': 2**26}  # elements of a chunk: as many as fit a core's cache, or as keep a GPU busy
share = ContextVar('share', default=1)  # CHUNK is divided by this in the current thread
BAND = {'cpu': 128, 'cuda': 4096}  # rows or columns of a band; narrow bands multiply with fewer zeros


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


class ToImage:
    """Brings soft masks from the canvas to the image: enlarges them four times, cuts off the padding, and resizes the
    rest to the image.

    Both resizes are bilinear. They are linear, so along each axis they are one small matrix, which is mostly zero.
    A mask is computed only inside a box. Small masks on a GPU share one box and are computed in one call.

    Args:
        canvas: height and width of the soft masks.
        cut: height and width of the model's input without the padding.
        size: height and width of the image.
    """

    def __init__(self, canvas: tuple[int, int], cut: tuple[int, int], size: tuple[int, int], device: torch.device):
        self.rows, self.columns = (axis(*sides, device) for sides in zip(canvas, cut, size, strict=True))
        self.size = size

    @full_float32()
    def __call__(self, soft: Tensor, threshold: float) -> tuple[Tensor, Crops]:
        """float32 (n, h, w) -> boxes, int64 (n, 4), and the masks cut to them."""
        above = soft > threshold
        tops, bottoms = self.rows.reach(above.any(2))
        lefts, rights = self.columns.reach(above.any(1))
        reached = torch.stack([lefts, tops, rights, bottoms], 1)
        shared = together(len(soft), self.size, soft.device)
        outer = (around(reached) if shared else reached).clone()  # the boxes inside which the masks are computed
        outer_boxes = outer.tolist()
        shelf = Shelf(((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in outer_boxes), soft.device)
        step, held, inner = (len(soft) if shared else 1), [], [outer[:0]]
        with exact_products():
            for some, box in zip(
                torch.split(soft, step), outer_boxes[::step], strict=False
            ):  # strict but for an empty `soft`
                masks = self.inside(box, some, threshold)
                inner.append(occupied(masks))
                held += [shelf.put(mask) for mask in masks]  # at once: the masks of a large image would take a gigabyte
        boxes = torch.cat(inner)
        crops = Crops(mask[y0:y1, x0:x1] for mask, (x0, y0, x1, y1) in zip(held, boxes.tolist(), strict=True))
        empty = (boxes[:, 2] == 0)[:, None]
        return (boxes + outer[:, [0, 1, 0, 1]]).masked_fill(empty, 0), crops

    def inside(self, box: tuple[int, int, int, int], soft: Tensor, threshold: float) -> Tensor:
        """Masks of the image inside one box, from float32 (k, h, w): bool (k, box height, box width).

        First along the columns, then along the rows, one band at a time.
        """
        (x0, y0, x1, y1), k = box, len(soft)
        masks = torch.empty(y1 - y0, k * (x1 - x0), dtype=torch.bool, device=soft.device)  # side by side
        if masks.numel():
            source = self.rows.window(y0, y1)
            height = source.stop - source.start
            narrow = soft[:, source].reshape(k * height, -1)
            wide = soft.new_empty(x1 - x0, k * height)
            for band, weights, used in self.columns.bands(x0, x1):
                torch.mm(weights, narrow[:, used].T, out=wide[band])
            low = wide.view(-1, k, height).permute(2, 1, 0).reshape(height, -1)
            for band, weights, used in self.rows.bands(y0, y1):
                values = weights @ low[used.start - source.start : used.stop - source.start]
                torch.gt(values, threshold, out=masks[band])
        return masks.view(y1 - y0, k, x1 - x0).transpose(0, 1)


def around(boxes: Tensor) -> Tensor:
    """The smallest box around all boxes, int64 (n, 4), given n times. Empty boxes do not count."""
    some = (boxes[:, 2] > boxes[:, 0])[:, None]
    first, end = boxes[:, :2].masked_fill(~some, 2**40).amin(0), boxes[:, 2:].amax(0)
    return torch.cat([torch.minimum(first, end), end]).expand_as(boxes)


@contextmanager
def exact_products() -> Iterator[None]:
    """Multiply float32 matrices in float32, even if the caller allows TF32, which moves the edges of masks."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Axis:
    """One axis of `ToImage`: `matrix`, float32 (image, canvas), and which positions of the two affect each other."""

    def __init__(self, canvas: int, cut: int, size: int, device: torch.device) -> None:
        steps = F.interpolate(torch.eye(canvas)[None], size=4 * canvas, mode='linear')[..., :cut]
        matrix = F.interpolate(steps, size=size, mode='linear')[0].T
        first, end = first_and_end(matrix != 0)
        self.first, self.end = first.tolist(), end.tolist()
        self.matrix = matrix.to(device).contiguous()
        self.step = BAND[device.type]
        self.touches = (self.matrix != 0).float()

    def window(self, start: int, stop: int) -> slice:
        """The part of the canvas that affects positions `start` to `stop` of the image."""
        return slice(self.first[start], self.end[stop - 1])

    def bands(self, start: int, stop: int) -> Iterator[tuple[slice, Tensor, slice]]:
        """Cut positions `start` to `stop` of the image into bands. Yields where each band lies, counted from `start`,
        its weights, and the part of the canvas that they multiply."""
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


def occupied(masks: Tensor) -> Tensor:
    """The smallest boxes around what is set in bool (k, h, w): int64 (k, 4), xyxy, half-open; zeros if nothing is."""
    if not masks.numel():
        return torch.zeros(len(masks), 4, dtype=torch.int64, device=masks.device)
    bits = masks.view(torch.uint8)  # amax is several times faster than `any`
    y0, y1 = first_and_end(bits.amax(2).bool())
    x0, x1 = first_and_end(bits.amax(1).bool())
    return torch.stack([x0, y0, x1, y1], 1)
