"""Masks cut to their boxes. A large one may be held a bit a pixel; it is unpacked each time it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor

PACKED_FROM = 2**20  # pixels: 100 smaller masks hold 100 MB at most, and unpacking many of them would take time


class Packed:
    """A mask, eight pixels in a byte. Its size, type and part can be asked of it as of the bool tensor it stands for.

    Bit k of byte i is pixel k * len(bits) + i of the flattened mask: the bits are far apart, so that packing and
    unpacking are a few operations on whole rows of bytes, which every device does at the speed of its memory.
    """

    dtype = torch.bool

    def __init__(self, bits: Tensor, size: tuple[int, int], rows: range, columns: range) -> None:
        self.bits = bits
        self.size = size  # of the mask that was packed; `rows` and `columns` are what is left of it
        self.rows, self.columns = rows, columns

    @classmethod
    def of(cls, mask: Tensor) -> Packed:
        """bool (h, w), which the result does not share memory with."""
        height, width = mask.shape
        pixels = F.pad(mask.flatten().view(torch.uint8), (0, -mask.numel() % 8)).view(8, -1)
        return cls(
            (pixels << places(mask.device)).sum(0, dtype=torch.uint8), (height, width), range(height), range(width)
        )

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)

    def __getitem__(self, part: tuple[slice, slice]) -> Packed:
        """A part of it. Nothing is unpacked or copied."""
        return Packed(self.bits, self.size, self.rows[part[0]], self.columns[part[1]])

    def to(self, device: Any) -> Packed:
        return Packed(self.bits.to(device), self.size, self.rows, self.columns)

    def unpack(self) -> Tensor:
        """bool (h, w), in memory of its own."""
        pixels = (self.bits >> places(self.bits.device) & 1).flatten()[: self.size[0] * self.size[1]]
        mask = pixels.view(torch.bool).view(self.size)
        return mask[self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]


def places(device: torch.device) -> Tensor:
    """0 to 7, uint8 (8, 1)."""
    return torch.arange(8, dtype=torch.uint8, device=device)[:, None]


def compact(mask: Tensor) -> Tensor | Packed:
    """The mask, bool (h, w), packed if it is large."""
    return mask if mask.numel() < PACKED_FROM else Packed.of(mask)


def in_one_piece(crops: Sequence[Tensor | Packed]) -> None:
    """Move the bits of all that are packed into one block of memory. A hundred blocks that outlive what was allocated
    between them would keep the process from using, or giving back, the holes: 200 MB more after a few large images."""
    packed = [crop for crop in crops if isinstance(crop, Packed)]
    if packed:
        bits = torch.cat([crop.bits for crop in packed])
        for crop, own in zip(packed, torch.split(bits, [len(crop.bits) for crop in packed]), strict=True):
            crop.bits = own


class Crops(Sequence[Tensor]):
    """Reads as a sequence of bool tensors (h, w), one unpacked at a time.

    Args:
        held: each as a bool tensor or packed.
    """

    def __init__(self, held: Iterable[Tensor | Packed]) -> None:
        self.held = tuple(held)

    def __len__(self) -> int:
        return len(self.held)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Crops: ...

    def __getitem__(self, index: int | slice) -> Tensor | Crops:
        if isinstance(index, slice):
            return Crops(self.held[index])
        crop = self.held[index]
        return crop.unpack() if isinstance(crop, Packed) else crop

    def __add__(self, other: Crops) -> Crops:
        return Crops(self.held + other.held)

    def choose(self, rows: Iterable[int]) -> Crops:
        """Those of the given numbers, in the order given."""
        return Crops(self.held[row] for row in rows)

    def to(self, device: Any) -> Crops:
        return Crops(crop.to(device) for crop in self.held)
