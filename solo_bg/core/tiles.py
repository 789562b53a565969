"""Join the instances that were found in overlapping tiles of one image.

Where two tiles overlap, both show the same strip of the image. Two masks that agree there belong to the same object.
They are joined if each is cut by the border of its own tile where the other one continues.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.core.masks import Box
from solo_bg.core.pieces import Piece, around, borders, common, meet, packed

AGREE = 0.5  # masks with at least this IoU in the shared strip belong to one object
INSIDE = 0.75  # a mask is a part of another one if at least this share of it, in the strip, lies in that one
LEAST = 16  # smallest number of pixels that must agree in the strip


def grid(size: tuple[int, int], side: int, overlap: int) -> list[Box]:
    """Tiles that cover an image of height and width `size`: squares of this side, or as large as the image.

    Neighbours overlap by at least `overlap` pixels. The tiles are spread evenly.
    """

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        count = -(-(length - overlap) // (side - overlap))
        return [round(index * (length - side) / (count - 1)) for index in range(count)]

    height, width = size
    return [(x, y, min(x + side, width), min(y + side, height)) for y in starts(height) for x in starts(width)]


def join(pieces: Sequence[Piece], size: tuple[int, int], edge: int) -> list[Piece]:
    """Join the pieces of each object that the borders of tiles cut; the other pieces stay as they are.

    An object that several tiles show completely is still there several times (see `without_duplicates`).

    Args:
        pieces: of all tiles, on the host.
        size: height and width of the image.
        edge: a mask at most this many pixels from a border counts as cut by it.
    """
    groups = {index: [index] for index in range(len(pieces))}  # a group is one list, which all its members share
    for first, second in seams(pieces, size, edge):
        ours, theirs = groups[first], groups[second]
        if ours is not theirs:
            ours += theirs
            groups.update(dict.fromkeys(theirs, ours))
    different = {id(group): group for group in groups.values()}.values()
    return [joined([pieces[index] for index in group], size, edge) for group in different]


def joined(members: Sequence[Piece], size: tuple[int, int], edge: int) -> Piece:
    """One piece of several; its score is their mean, weighted by their areas."""
    shown = [piece.tile for piece in members]
    still_open = not all(covers(shown, beyond) for piece in members for beyond in borders(piece, size, edge))
    largest = max(members, key=lambda piece: piece.area)
    box, crop, score = largest.box, largest.crop, largest.score
    if len(members) > 1:
        box = around(piece.box for piece in members)
        mask = torch.zeros(box[3] - box[1], box[2] - box[0], dtype=torch.bool)
        for piece in members:
            x0, y0, x1, y1 = piece.box
            mask[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] |= piece.mask_in(piece.box)
        crop = packed(mask)
        score = sum(piece.score * piece.area for piece in members) / sum(piece.area for piece in members)
    return Piece(around(shown), box, crop, largest.label, score, still_open)


def covers(tiles: Sequence[Box], box: Box) -> bool:
    """Whether every pixel of a box is in one of the tiles."""
    seen = np.zeros((box[3] - box[1], box[2] - box[0]), bool)
    for tile in tiles:
        x0, y0, x1, y1 = common(tile, box)
        if x0 < x1 and y0 < y1:
            seen[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] = True
    return bool(seen.all())


def seams(pieces: Sequence[Piece], size: tuple[int, int], edge: int) -> Iterator[tuple[int, int]]:
    """Pairs of pieces that are parts of one object on both sides of a border."""
    by_tile: dict[Box, list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        by_tile[piece.tile].append(index)
    for one, other in combinations(by_tile, 2):
        if meet(one, other):
            here, there = (
                [seen for index in by_tile[tile] if (seen := shown_at(index, pieces[index], beyond, size, edge))]
                for tile, beyond in ((one, other), (other, one))
            )
            yield from matches(here, there)


@dataclass(frozen=True)
class Shown:
    """The part of a piece in the strip that two tiles share.

    Attributes:
        index: of the piece.
        box: around that part.
        mask: bool (h, w), of the box's size.
        area: its number of pixels.
    """

    index: int
    label: int
    box: Box
    mask: NDArray[np.bool_]
    area: int


def shown_at(index: int, piece: Piece, tile: Box, size: tuple[int, int], edge: int) -> Shown | None:
    """The part of a piece in the strip that two tiles share; None unless the piece may continue in the other tile."""
    box = common(piece.box, common(piece.tile, tile))
    if box[0] >= box[2] or box[1] >= box[3] or not any(meet(beyond, tile) for beyond in borders(piece, size, edge)):
        return None
    mask = piece.mask_in(box).numpy()
    area = int(np.count_nonzero(mask))
    return Shown(index, piece.label, box, mask, area) if area else None


def matches(here: Sequence[Shown], there: Sequence[Shown]) -> Iterator[tuple[int, int]]:
    """Pairs of pieces of two tiles that agree in the strip between them, best agreement first.

    A piece can agree with one piece of the other tile, or with several pieces together that are parts of it: the two
    arms of a horseshoe are separate pieces in a tile that does not show where they meet. Each piece is used once.
    """
    both = {(one.index, other.index): shared(one, other) for one in here for other in there}
    both.update({(second, first): pixels for (first, second), pixels in both.items()})
    agreeing: list[tuple[float, Shown, list[Shown]]] = []
    for side, opposite in ((here, there), (there, here)):
        for one in side:
            near = [other for other in opposite if both[one.index, other.index] >= LEAST]
            parts = [other for other in near if both[one.index, other.index] >= INSIDE * other.area]
            for others in [*([other] for other in near), *([parts] if len(parts) > 1 else [])]:
                pixels = sum(both[one.index, other.index] for other in others)
                iou = pixels / (one.area + sum(other.area for other in others) - pixels)
                if iou >= AGREE:
                    agreeing.append((iou, one, others))
    taken: set[int] = set()
    for _, one, others in sorted(agreeing, key=lambda candidate: -candidate[0]):
        indices = {one.index, *(other.index for other in others)}
        if not indices & taken:
            taken |= indices
            yield from ((one.index, other.index) for other in others)


def shared(one: Shown, other: Shown) -> int:
    """Number of pixels that two pieces of one class share in a strip."""
    x0, y0, x1, y1 = common(one.box, other.box)
    if one.label != other.label or x0 >= x1 or y0 >= y1:
        return 0
    first, second = (
        each.mask[y0 - each.box[1] : y1 - each.box[1], x0 - each.box[0] : x1 - each.box[0]] for each in (one, other)
    )
    return int(np.count_nonzero(first & second))
