"""Bring together what was found in the tiles of an image, and in the whole image made smaller.

Tiles show small objects, and all edges, best. The whole image shows objects that are larger than a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from solo_bg.core.crops import Packed
from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box, boxes_of
from solo_bg.core.tiles import Piece, common, packed

SAME = 0.5  # IoU from which on two masks are of one object
COVERED = 0.7  # share of a piece that is cut by its tile's border and lies in an object of the whole image
INSIDE = 0.8  # share of the smaller mask that lies in the larger one, of a duplicate
COMPARABLE = 0.5  # share of the score of what is replaced that the replacement must have
MERGED = 0.5  # share of that object that these pieces must cover
ROWS = 256  # of a mask that are enlarged at once


@dataclass(frozen=True)
class Small:
    """A mask at the size of the smaller image: its box there, bool (h, w), and its number of pixels."""

    box: Box
    mask: Tensor
    area: int


def add_whole(pieces: Sequence[Piece], whole: Instances, size: tuple[int, int]) -> list[Piece]:
    """The pieces without those that `whole` shows better, and what only `whole` shows.

    Args:
        pieces: of the tiles, joined.
        whole: what was found in the whole image, on the host, at its own, smaller size.
        size: height and width of the image.
    """
    found = [sampled(piece, size, whole.size) for piece in pieces]
    kept: list[Piece | None] = list(pieces)
    for row in range(len(whole)):
        own = Small(whole.host_boxes[row], whole.crops[row], int(whole.crops[row].sum()))
        if not own.area:
            continue
        label, score = whole.host_labels[row], float(whole.scores[row])
        near = [index for index in range(len(pieces)) if (piece := kept[index]) and piece.label == label]
        shared = {index: both for index in near if (both := intersection(own, found[index]))}
        score, stays = settle(kept, found, own, score, shared)
        if stays:
            box, crop = enlarged(own, whole.size, size)
            kept.append(Piece((0, 0, size[1], size[0]), box, crop, label, score))
    return [piece for piece in kept if piece]


def settle(
    kept: list[Piece | None], found: Sequence[Small], own: Small, score: float, shared: dict[int, int]
) -> tuple[float, bool]:
    """Decide about one object of the whole image and the pieces that it shares pixels with.

    Pieces that do not stay become None in `kept`.

    Args:
        shared: index of a piece of the same label -> number of pixels that both have.

    Returns:
        the object's score, and whether it stays.
    """
    parts, inside = [], []
    for index, both in shared.items():
        piece = kept[index]
        assert piece
        same = both >= SAME * (own.area + found[index].area - both)
        if same and not piece.open:
            kept[index] = replace(piece, score=max(piece.score, score))
            return score, False  # the tiles show the same object, and its edges better
        if score >= COMPARABLE * piece.score and (same or (piece.open and both >= COVERED * found[index].area)):
            parts.append(index)
        elif both >= INSIDE * found[index].area and piece.score >= COMPARABLE * score:
            inside.append(index)
        elif both >= INSIDE * own.area and piece.score > score:
            return score, False
    if len(inside) > 1 and covered(own, [found[index] for index in inside]) >= MERGED * own.area:
        return score, False  # several objects that the smaller image shows as one
    for index, both in shared.items():
        piece = kept[index]
        if index in parts or (piece and piece.score < score and both >= INSIDE * found[index].area):
            kept[index] = None
    return score, True


def covered(own: Small, others: Sequence[Small]) -> int:
    """Number of pixels of a mask that lie in any of the others."""
    union = torch.zeros_like(own.mask)
    for other in others:
        x0, y0, x1, y1 = common(own.box, other.box)
        part = other.mask[y0 - other.box[1] : y1 - other.box[1], x0 - other.box[0] : x1 - other.box[0]]
        union[y0 - own.box[1] : y1 - own.box[1], x0 - own.box[0] : x1 - own.box[0]] |= part
    return int((union & own.mask).sum())


def sampled(piece: Piece, size: tuple[int, int], small: tuple[int, int]) -> Small:
    """A piece at the size of the smaller image: each of its pixels is the one of the piece at its centre."""
    x0, y0, x1, y1 = piece.box
    rows, columns = (((torch.arange(few) + 0.5) * (many / few)).long() for few, many in zip(small, size, strict=True))
    top, bottom = (int((rows < edge).sum()) for edge in (y0, y1))
    left, right = (int((columns < edge).sum()) for edge in (x0, x1))
    crop = piece.crop.unpack() if isinstance(piece.crop, Packed) else piece.crop
    mask = crop[rows[top:bottom] - y0][:, columns[left:right] - x0]
    return Small((left, top, right, bottom), mask, int(mask.sum()))


def intersection(first: Small, second: Small) -> int:
    """Number of pixels that both have."""
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
