"""Masks cut to their boxes. Large ones may be packed, one bit for each pixel; each read unpacks them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

import torch
import torch.nn.functional as F
from torch import Tensor

PACKED_FROM = 2**20  # pixels; 100 smaller masks take at most 100 MB, and it would take time to unpack them


class Packed:
    """A mask with eight pixels in each byte. Has the shape, dtype and slices of the bool tensor that it stands for.

    Bit k of byte i is pixel k * len(bits) + i of the flattened mask. So packing and unpacking are a few operations on
    long rows of bytes, which every device does at the speed of its memory.
    """

    dtype = torch.bool

    def __init__(self, bits: Tensor, size: tuple[int, int], rows: range, columns: range) -> None:
        self.bits = bits
        self.size = size  # of the mask that was packed; `rows` and `columns` are the part that this stands for
        self.rows, self.columns = rows, columns

    @classmethod
    def of(cls, mask: Tensor, bits: Tensor | None = None) -> Packed:
        """Pack bool (h, w) into `bits`, uint8 (ceil(h * w / 8),), or into new memory."""
        height, width = mask.shape
        pixels = F.pad(mask.flatten().view(torch.uint8), (0, -mask.numel() % 8)).view(8, -1)
        bits = torch.sum(pixels << places(mask.device), 0, dtype=torch.uint8, out=bits)
        return cls(bits, (height, width), range(height), range(width))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)

    def __getitem__(self, part: tuple[slice, slice]) -> Packed:
        """A part of the mask. Unpacks and copies nothing."""
        return Packed(self.bits, self.size, self.rows[part[0]], self.columns[part[1]])

    def unpack(self) -> Tensor:
        """bool (h, w), in new memory."""
        pixels = (self.bits >> places(self.bits.device) & 1).flatten()[: self.size[0] * self.size[1]]
        mask = pixels.view(torch.bool).view(self.size)
        return mask[self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]


def places(device: torch.device) -> Tensor:
    """0 to 7, uint8 (8, 1)."""
    return torch.arange(8, dtype=torch.uint8, device=device)[:, None]


class Shelf:
    """One block of memory for all large masks of an image.

    With a block for each mask, memory that was allocated between them and freed would leave holes, which the process
    could neither use nor give back: about 60 MB on 4K images.

    Args:
        sizes: the number of pixels of each mask that will be put here, in order.
    """

    def __init__(self, sizes: Iterable[int], device: torch.device) -> None:
        lengths = [-(-pixels // 8) for pixels in sizes if pixels >= PACKED_FROM]
        self.free = iter(torch.split(torch.empty(sum(lengths), dtype=torch.uint8, device=device), lengths))

    def put(self, mask: Tensor) -> Tensor | Packed:
        """Take the next mask, bool (h, w): a large one is packed, a small one is returned as it is."""
        return mask if mask.numel() < PACKED_FROM else Packed.of(mask, next(self.free))


class Crops(Sequence[Tensor]):
    """Reads as a sequence of bool tensors (h, w), one unpacked at a time.

    Args:
        held: bool tensors and packed masks.
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
        """The crops with these indices, in this order."""
        return Crops(self.held[row] for row in rows)

    def to(self, device: torch.device) -> Crops:
        """The same crops on another device, brought there in one transfer."""
        if not self.held:
            return self
        bytes_of = [crop.bits if isinstance(crop, Packed) else crop.reshape(-1).view(torch.uint8) for crop in self.held]
        moved = torch.split(torch.cat(bytes_of).to(device), [len(one) for one in bytes_of])
        return Crops(
            Packed(one, crop.size, crop.rows, crop.columns)
            if isinstance(crop, Packed)
            else one.view(torch.bool).view(crop.shape)
            for crop, one in zip(self.held, moved, strict=True)
        )
