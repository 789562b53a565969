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
    def of(cls, mask: Tensor, bits: Tensor | None = None) -> Packed:
        """Of bool (h, w), in `bits`, uint8 (h * w / 8, rounded up,), or in memory of its own."""
        height, width = mask.shape
        pixels = F.pad(mask.flatten().view(torch.uint8), (0, -mask.numel() % 8)).view(8, -1)
        bits = torch.sum(pixels << places(mask.device), 0, dtype=torch.uint8, out=bits)
        return cls(bits, (height, width), range(height), range(width))

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


class Shelf:
    """One block of memory for all large masks of an image. Were each in a block of its own, they would outlive what was
    allocated between them, and the process could neither use nor give back the holes: some 60 MB on 4K images.

    Args:
        sizes: pixels of each mask to come, in order.
    """

    def __init__(self, sizes: Iterable[int], device: torch.device) -> None:
        lengths = [-(-pixels // 8) for pixels in sizes if pixels >= PACKED_FROM]
        self.free = iter(torch.split(torch.empty(sum(lengths), dtype=torch.uint8, device=device), lengths))

    def put(self, mask: Tensor) -> Tensor | Packed:
        """The next mask, bool (h, w): packed if it is large, else as it is."""
        return mask if mask.numel() < PACKED_FROM else Packed.of(mask, next(self.free))


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
