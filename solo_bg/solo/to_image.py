"""From soft masks on the model's canvas to masks of the image's size."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_bg.core.crops import Crops, Packed, Shelf
from solo_bg.core.masks import first_and_end, together
from solo_bg.solo.precision import full_float32

BAND = {'cpu': 128, 'cuda': 4096}  # rows or columns of a band; narrow bands multiply with fewer zeros


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
        # torch splits an empty `soft` into one empty part, for which there is no box
        for some, box in zip(torch.split(soft, step), outer_boxes[::step], strict=False):
            masks = self.inside(box, some, threshold)
            inner.append(occupied(masks))
            held += [shelf.put(mask) for mask in masks]  # at once: the masks of a large image would take a gigabyte
        return trim(held, torch.cat(inner), outer)

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


def trim(masks: Sequence[Tensor | Packed], inner: Tensor, outer: Tensor) -> tuple[Tensor, Crops]:
    """Cut masks to the smallest boxes around them.

    Args:
        masks: bool (h, w) each, of the size of its outer box.
        inner: int64 (n, 4), the smallest box around each mask, counted from its first pixel; zeros for an empty mask.
        outer: int64 (n, 4), where the masks lie in the image.

    Returns:
        the smallest boxes in the image, int64 (n, 4), zeros for an empty mask; and the masks cut to them.
    """
    boxes = inner.tolist()
    crops = Crops(mask[y0:y1, x0:x1] for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True))
    empty = (inner[:, 2] == 0)[:, None]
    return (inner + outer[:, [0, 1, 0, 1]]).masked_fill(empty, 0), crops


def around(boxes: Tensor) -> Tensor:
    """The smallest box around all boxes, int64 (n, 4), given n times. Empty boxes do not count."""
    some = (boxes[:, 2] > boxes[:, 0])[:, None]
    first, end = boxes[:, :2].masked_fill(~some, 2**40).amin(0), boxes[:, 2:].amax(0)
    return torch.cat([torch.minimum(first, end), end]).expand_as(boxes)


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
