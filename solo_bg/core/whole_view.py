"""Combine the instances of the tiles of an image with those of the whole image, scaled down.

Tiles show small objects, and all edges, best. The whole image shows objects that are larger than a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solo_bg.core.crops import Packed
from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box, boxes_of
from solo_bg.core.pieces import Piece, common, packed, share_in, unpacked, without_duplicates

BLURRED = 0.5  # factor on the score of a mask of the smaller image, when duplicates are searched
ROWS = 256  # rows of a mask that are enlarged at once


@dataclass(frozen=True)
class Small:
    """A mask at the size of the smaller image: its box there, bool (h, w), and its number of pixels."""

    box: Box
    mask: Tensor
    area: int


@dataclass(frozen=True)
class View:
    """A mask of the tiles or of the whole image, to be compared with others of both.

    Attributes:
        box: around the mask, in pixels of the image.
        worth: its score, lowered if the view of the object is not the best.
        small: the mask at the size of the smaller image.
        source: the piece of the tiles, or the index of an instance of the whole image.
    """

    box: Box
    label: int
    worth: float
    small: Small
    source: Piece | int


def add_whole(pieces: Sequence[Piece], whole: Instances, size: tuple[int, int]) -> list[Piece]:
    """The pieces and the instances of the whole image, without duplicates.

    Only the masks of the whole image that stay are enlarged.

    Args:
        pieces: of the tiles, joined.
        whole: what was found in the whole image, on the host, at its own, smaller size.
        size: height and width of the image.
    """
    views = [View(one.box, one.label, one.worth, sampled(one, size, whole.size), one) for one in pieces]
    for row, (box, crop) in enumerate(zip(whole.host_boxes, whole.crops, strict=True)):
        small = Small(box, crop, int(crop.count_nonzero()))
        if small.area:
            place, worth = reach(box, whole.size, size), BLURRED * float(whole.scores[row])
            views.append(View(place, whole.host_labels[row], worth, small, row))
    found = []
    for view in without_duplicates(views, share_between):
        if isinstance(view.source, Piece):
            found.append(view.source)
        else:
            box, mask = enlarged(view.small, whole.size, size)
            found.append(Piece((0, 0, size[1], size[0]), box, mask, view.label, float(whole.scores[view.source])))
    return found


def share_between(one: View, other: View) -> float:
    """The share of a mask's pixels that lie in another, counted in the smaller image if either mask comes from it."""
    if isinstance(one.source, Piece) and isinstance(other.source, Piece):
        return share_in(one.source, other.source)
    return intersection(one.small, other.small) / max(1, one.small.area)


def reach(box: Box, given: tuple[int, int], size: tuple[int, int]) -> Box:
    """A box of an image of height and width `given`, at `size`, rounded outwards."""
    rows, columns = size[0] / given[0], size[1] / given[1]
    return int(box[0] * columns), int(box[1] * rows), -int(-box[2] * columns // 1), -int(-box[3] * rows // 1)


def sampled(piece: Piece, size: tuple[int, int], small: tuple[int, int]) -> Small:
    """A piece at the size of the smaller image, sampled at the centres of its pixels."""
    x0, y0, x1, y1 = piece.box
    rows, columns = (((torch.arange(few) + 0.5) * (many / few)).long() for few, many in zip(small, size, strict=True))
    top, bottom = (int((rows < edge).sum()) for edge in (y0, y1))
    left, right = (int((columns < edge).sum()) for edge in (x0, x1))
    mask = unpacked(piece.crop)[rows[top:bottom] - y0][:, columns[left:right] - x0]
    return Small((left, top, right, bottom), mask, int(mask.sum()))


def intersection(first: Small, second: Small) -> int:
    """Number of pixels in both masks."""
    x0, y0, x1, y1 = common(first.box, second.box)
    if x0 >= x1 or y0 >= y1:
        return 0
    one, other = (
        each.mask[y0 - each.box[1] : y1 - each.box[1], x0 - each.box[0] : x1 - each.box[0]] for each in (first, second)
    )
    return int((one & other).sum())


def enlarged(small: Small, given: tuple[int, int], size: tuple[int, int]) -> tuple[Box, Tensor | Packed]:
    """A mask of an image of height and width `given` at `size`: bilinear with half-pixel centres, then >= 0.5.

    Returns:
        its box and its crop. Only the box around the mask is computed, a few rows at a time.
    """
    x0, y0, x1, y1 = small.box
    padded = torch.nn.functional.pad(small.mask.float(), (1, 1, 1, 1))
    for axis, (first, end) in enumerate(((y0, y1), (x0, x1))):  # beyond the image, its border goes on
        if first == 0:
            padded.select(axis, 0).copy_(padded.select(axis, 1))
        if end == given[axis]:
            padded.select(axis, -1).copy_(padded.select(axis, -2))
    places = []
    for first, end, few, many in ((y0, y1, given[0], size[0]), (x0, x1, given[1], size[1])):
        ratio = few / many
        start, stop = max(0, int((first - 0.5) / ratio)), min(many, int((end + 0.5) / ratio) + 1)
        at = (torch.arange(start, stop) + 0.5) * ratio + 0.5 - first  # in `padded`
        places.append((start, at.clamp(0, end - first + 1)))
    (top, rows), (left, columns) = places
    across = blended(padded, columns, 1)
    mask = torch.empty(len(rows), len(columns), dtype=torch.bool)
    for start in range(0, len(rows), ROWS):
        mask[start : start + ROWS] = blended(across, rows[start : start + ROWS], 0) >= 0.5
    a, b, c, d = boxes_of(mask[None])[0].tolist()
    return (left + a, top + b, left + c, top + d), packed(mask[b:d, a:c])


def blended(values: Tensor, places: Tensor, axis: int) -> Tensor:
    """Values between the rows (axis 0) or columns (axis 1), at the given places."""
    below = places.floor().clamp(max=values.shape[axis] - 2).long()
    share = (places - below).unsqueeze(1 - axis)
    return values.index_select(axis, below) * (1 - share) + values.index_select(axis, below + 1) * share
