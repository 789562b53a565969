"""Instances that were found in a part of an image, such as a tile, in the coordinates of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from solo_bg.core.crops import Crops, Packed
from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box

COVERED = 0.5  # a mask is a duplicate if this share of it lies in better masks of its class
CUT = 0.25  # factor on the score of a mask that a border cuts, when duplicates are searched
PACKED = 2**12  # crops with at least this many pixels are packed: there may be thousands of crops


@dataclass(frozen=True)
class Piece:
    """An instance as one tile shows it, or as several do together.

    Attributes:
        tile: the part of the image that was looked at, xyxy in pixels, half-open.
        box: around the mask, in the same form.
        crop: bool, of the box's size.
        open: the mask ends at a border of its tile, and no other tile shows how the object goes on.
    """

    tile: Box
    box: Box
    crop: Tensor | Packed
    label: int
    score: float
    open: bool = False

    @cached_property
    def area(self) -> int:
        """Number of pixels of the mask."""
        return int(np.count_nonzero(unpacked(self.crop).numpy()))

    @property
    def worth(self) -> float:
        """The score for the search of duplicates: a complete mask is worth more than one that a border cuts."""
        return self.score * (CUT if self.open else 1)

    def mask_in(self, region: Box) -> Tensor:
        """The mask in a region of the image, bool (h, w)."""
        mask = torch.zeros(region[3] - region[1], region[2] - region[0], dtype=torch.bool)
        x0, y0, x1, y1 = common(self.box, region)
        if x0 < x1 and y0 < y1:
            part = self.crop[y0 - self.box[1] : y1 - self.box[1], x0 - self.box[0] : x1 - self.box[0]]
            mask[y0 - region[1] : y1 - region[1], x0 - region[0] : x1 - region[0]] = unpacked(part)
        return mask


class Ranked(Protocol):
    """What `without_duplicates` needs to know about a mask. A larger `worth` is better."""

    @property
    def box(self) -> Box: ...

    @property
    def label(self) -> int: ...

    @property
    def worth(self) -> float: ...


AnyRanked = TypeVar('AnyRanked', bound=Ranked)


def without_duplicates(found: Iterable[AnyRanked], share: Callable[[AnyRanked, AnyRanked], float]) -> list[AnyRanked]:
    """Non-maximum suppression: the masks of which less than half lies in better masks of the same class that stay.

    Args:
        share: of the first mask's pixels, those that lie in the second mask, 0 to 1.

    Returns:
        what stays, best first.
    """
    ordered = sorted(found, key=lambda one: -one.worth)
    boxes = np.array([one.box for one in ordered], np.int64).reshape(-1, 4)
    labels = np.array([one.label for one in ordered], np.int64)
    kept = np.zeros(len(ordered), bool)
    for row, one in enumerate(ordered):
        x0, y0, x1, y1 = one.box
        near = (boxes[:, 0] < x1) & (boxes[:, 2] > x0) & (boxes[:, 1] < y1) & (boxes[:, 3] > y0)
        rivals = np.flatnonzero(near & kept & (labels == one.label))
        kept[row] = sum(share(one, ordered[rival]) for rival in rivals) < COVERED
    return [ordered[row] for row in np.flatnonzero(kept)]


def share_in(one: Piece, other: Piece) -> float:
    """The share of a piece's pixels that lie in another piece."""
    region = common(one.box, other.box)
    return int(np.count_nonzero((one.mask_in(region) & other.mask_in(region)).numpy())) / one.area


def pieces_of(instances: Instances, tile: Box) -> list[Piece]:
    """What was found in a tile, on the host, in the image's coordinates. Empty masks are left out."""
    found = instances.to('cpu')
    columns = found.host_boxes, found.crops.held, found.host_labels, found.scores.tolist()
    pieces = []
    for (x0, y0, x1, y1), crop, label, score in zip(*columns, strict=True):
        if x0 < x1:
            box = x0 + tile[0], y0 + tile[1], x1 + tile[0], y1 + tile[1]
            pieces.append(Piece(tile, box, crop, label, score))
    return pieces


def distinct(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces of one tile without duplicates, in as little memory as they need."""
    return [replace(one, crop=packed(unpacked(one.crop))) for one in without_duplicates(pieces, share_in)]


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


def packed(crop: Tensor) -> Tensor | Packed:
    """The same mask in memory of its own, packed if it is large."""
    return crop.clone() if crop.numel() < PACKED else Packed.of(crop.contiguous())


def unpacked(crop: Tensor | Packed) -> Tensor:
    return crop.unpack() if isinstance(crop, Packed) else crop


def common(first: Box, second: Box) -> Box:
    """The intersection of two boxes. If they do not overlap, its ends are not above its starts."""
    return max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3])


def meet(first: Box, second: Box) -> bool:
    x0, y0, x1, y1 = common(first, second)
    return x0 < x1 and y0 < y1


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box around boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def borders(piece: Piece, size: tuple[int, int], edge: int) -> Iterator[Box]:
    """For each border of its tile that cuts a piece: the box beyond the border where the object may continue."""
    (left, top, right, bottom), (x0, y0, x1, y1), (height, width) = piece.tile, piece.box, size
    if left > 0 and x0 - left <= edge:
        yield max(0, left - edge), y0, left, y1
    if top > 0 and y0 - top <= edge:
        yield x0, max(0, top - edge), x1, top
    if right < width and right - x1 <= edge:
        yield right, y0, min(right + edge, width), y1
    if bottom < height and bottom - y1 <= edge:
        yield x0, bottom, x1, min(bottom + edge, height)
