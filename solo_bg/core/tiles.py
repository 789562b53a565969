"""Join the instances that were found in overlapping tiles of one image.

Where two tiles overlap, both show the same strip of the image. Two masks that agree there are of the same object. If
the object goes on beyond both tiles, they are joined; otherwise the one that shows more of the object stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solo_bg.core.crops import Crops, Packed
from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box

AGREE = 0.5  # IoU in the shared strip from which on two masks are of one object
INSIDE = 0.75  # share of a mask that is cut by its tile's border which lies in another mask, for the same
LEAST = 16  # pixels that must agree in the strip; fewer tell nothing of masks that no border cuts
PACKED = 2**12  # pixels of a crop from which on it is packed: there may be thousands


@dataclass(frozen=True)
class Piece:
    """An instance as one tile shows it, or as several do together.

    Attributes:
        tile: of the image that was looked at, xyxy in pixels, half-open; and `box` around the mask.
        crop: bool, of the box's size.
        open: the mask ends at a border where the object may go on, and no other tile shows that it does.
    """

    tile: Box
    box: Box
    crop: Tensor | Packed
    label: int
    score: float
    open: bool = False

    def mask_in(self, region: Box) -> Tensor:
        """The mask in a region of the image, bool (h, w)."""
        mask = torch.zeros(region[3] - region[1], region[2] - region[0], dtype=torch.bool)
        x0, y0, x1, y1 = common(self.box, region)
        if x0 < x1 and y0 < y1:
            part = self.crop[y0 - self.box[1] : y1 - self.box[1], x0 - self.box[0] : x1 - self.box[0]]
            there = part.unpack() if isinstance(part, Packed) else part
            mask[y0 - region[1] : y1 - region[1], x0 - region[0] : x1 - region[0]] = there
        return mask


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


def pieces_of(instances: Instances, tile: Box) -> list[Piece]:
    """What was found in a tile, on the host, in the image's coordinates. Empty masks are left out."""
    found = instances.to('cpu')
    columns = found.host_boxes, found.crops.held, found.host_labels, found.scores.tolist()
    pieces = []
    for (x0, y0, x1, y1), crop, label, score in zip(*columns, strict=True):
        if x0 < x1:
            box = x0 + tile[0], y0 + tile[1], x1 + tile[0], y1 + tile[1]
            pieces.append(Piece(tile, box, packed(crop), label, score))
    return pieces


def packed(crop: Tensor | Packed) -> Tensor | Packed:
    return crop if isinstance(crop, Packed) or crop.numel() < PACKED else Packed.of(crop.contiguous())


def common(first: Box, second: Box) -> Box:
    """What two boxes share; its ends lie before its starts if that is nothing."""
    return max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3])


def meet(first: Box, second: Box) -> bool:
    x0, y0, x1, y1 = common(first, second)
    return x0 < x1 and y0 < y1


def join(pieces: Sequence[Piece], size: tuple[int, int], edge: int) -> list[Piece]:
    """One piece for each object.

    Args:
        pieces: of all tiles, on the host. Pieces of one tile are never joined with each other directly.
        size: height and width of the image.
        edge: a mask that comes as near to a border, in pixels, ends there.
    """
    groups = list(range(len(pieces)))
    dropped: set[int] = set()

    def group(index: int) -> int:
        while groups[index] != index:
            groups[index] = index = groups[groups[index]]
        return index

    for first, second in matches(pieces, size, edge):
        groups[group(first)] = group(second)
        dropped.update(superseded(pieces, first, second, size, edge))
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(pieces)):
        members[group(index)].append(index)
    return [
        joined([pieces[index] for index in rows], [pieces[index] for index in rows if index not in dropped], size, edge)
        for rows in members.values()
    ]


def matches(pieces: Sequence[Piece], size: tuple[int, int], edge: int) -> Iterator[tuple[int, int]]:
    """Pairs of pieces of different tiles that are of one object."""
    by_tile: dict[Box, list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        by_tile[piece.tile].append(index)
    for one, other in combinations(by_tile, 2):
        if not meet(one, other):
            continue
        strip = common(one, other)
        taken: set[int] = set()
        here, there = (
            {row: seen for row in by_tile[tile] if (seen := shown_in(pieces[row], strip))} for tile in (one, other)
        )
        scored = [
            (*agreement(seen, beside, size, edge), a, b)
            for a, seen in here.items()
            for b, beside in there.items()
            if seen.piece.label == beside.piece.label and meet(seen.box, beside.box)
        ]
        for iou, inside, a, b in sorted(scored, reverse=True):
            mutual = iou >= AGREE and a not in taken and b not in taken
            if mutual or (inside >= INSIDE and not {a, b} <= taken):
                taken |= {a, b}
                yield a, b


@dataclass(frozen=True)
class Shown:
    """The part of a piece in a strip: its box, its mask there, bool (h, w), and its number of pixels."""

    piece: Piece
    box: Box
    mask: NDArray[np.bool_]
    area: int


def shown_in(piece: Piece, strip: Box) -> Shown | None:
    """The part of a piece in a strip; None if there is none."""
    box = common(piece.box, strip)
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    mask = piece.mask_in(box).numpy()
    area = np.count_nonzero(mask)
    return Shown(piece, box, mask, area) if area else None


def agreement(first: Shown, second: Shown, size: tuple[int, int], edge: int) -> tuple[float, float]:
    """IoU of two masks in a strip; and the share of a mask that lies in the other, if a border cuts it there."""
    x0, y0, x1, y1 = common(first.box, second.box)
    one, other = (
        each.mask[y0 - each.box[1] : y1 - each.box[1], x0 - each.box[0] : x1 - each.box[0]] for each in (first, second)
    )
    both = np.count_nonzero(one & other)
    if not both:
        return 0.0, 0.0
    cut = (
        ends_within(first.piece, second.piece.tile, size, edge),
        ends_within(second.piece, first.piece.tile, size, edge),
    )
    areas = first.area, second.area
    inside = max(both / area if ends else 0.0 for area, ends in zip(areas, cut, strict=True))
    return both / (sum(areas) - both) if both >= LEAST else 0.0, inside


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box around boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def borders(piece: Piece, size: tuple[int, int], edge: int) -> Iterator[Box]:
    """For each border of its tile at which a piece ends, unless the image does: the box where it may go on."""
    (left, top, right, bottom), (x0, y0, x1, y1), (height, width) = piece.tile, piece.box, size
    if left > 0 and x0 - left <= edge:
        yield left - edge, y0, left, y1
    if top > 0 and y0 - top <= edge:
        yield x0, top - edge, x1, top
    if right < width and right - x1 <= edge:
        yield right, y0, right + edge, y1
    if bottom < height and bottom - y1 <= edge:
        yield x0, bottom, x1, bottom + edge


def ends_within(piece: Piece, tile: Box, size: tuple[int, int], edge: int) -> bool:
    """Whether a border of its own tile cuts a piece where another tile shows more."""
    return any(meet(beyond, tile) for beyond in borders(piece, size, edge))


def superseded(pieces: Sequence[Piece], first: int, second: int, size: tuple[int, int], edge: int) -> list[int]:
    """Which of two pieces of one object adds nothing: none if each one is cut where the other one goes on."""
    cut = [
        ends_within(pieces[one], pieces[other].tile, size, edge) for one, other in ((first, second), (second, first))
    ]
    if all(cut):
        return []
    if any(cut):
        return [first if cut[0] else second]
    return [first if (pieces[first].score, -first) < (pieces[second].score, -second) else second]


def joined(members: Sequence[Piece], shown: Sequence[Piece], size: tuple[int, int], edge: int) -> Piece:
    """One piece of several. `shown`: those whose masks count; all, if there are none."""
    shown = shown or members
    still_open = any(
        not any(meet(beyond, other.tile) for other in members if other.tile != piece.tile)
        for piece in shown
        for beyond in borders(piece, size, edge)
    )
    best = max(members, key=lambda piece: piece.score)
    box, crop = shown[0].box, shown[0].crop
    if len(shown) > 1:
        box = around(piece.box for piece in shown)
        mask = torch.zeros(box[3] - box[1], box[2] - box[0], dtype=torch.bool)
        for piece in shown:
            x0, y0, x1, y1 = piece.box
            mask[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] |= piece.mask_in(piece.box)
        crop = packed(mask)
    return Piece(around(piece.tile for piece in members), box, crop, best.label, best.score, still_open)


def instances_of(pieces: Iterable[Piece], size: tuple[int, int], class_names: Sequence[str]) -> Instances:
    """The pieces as instances of the image, best score first."""
    ordered = sorted(pieces, key=lambda piece: -piece.score)
    return Instances.from_crops(
        torch.tensor([piece.box for piece in ordered], dtype=torch.int64).reshape(-1, 4),
        Crops(piece.crop for piece in ordered),
        size,
        torch.tensor([piece.label for piece in ordered], dtype=torch.int64),
        torch.tensor([piece.score for piece in ordered], dtype=torch.float32),
        class_names,
    )
