"""Tensors between the host and the device. On the CPU nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on `device`. CUDA copies it out of pinned memory, so that the host does not wait."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == 'cuda' else tensor.to(device)


def download(tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
    """Tensors of one device as arrays, in the same order. They leave a CUDA device in one transfer."""
    if not tensors or tensors[0].device.type == 'cpu':
        return [tensor.numpy() for tensor in tensors]
    order = sorted(range(len(tensors)), key=lambda index: -tensors[index].element_size())  # keeps wide types aligned
    parts = [tensors[index].contiguous().view(-1).view(torch.uint8) for index in order]
    bytes_there = torch.cat(parts)
    bytes_here = torch.empty(bytes_there.shape, dtype=torch.uint8, pin_memory=True)
    bytes_here.copy_(bytes_there, non_blocking=True)
    torch.cuda.current_stream(bytes_there.device).synchronize()
    arrays: dict[int, NDArray[Any]] = {}
    for index, part in zip(order, torch.split(bytes_here, [len(part) for part in parts]), strict=True):
        arrays[index] = part.view(tensors[index].dtype).view(tensors[index].shape).numpy()
    return [arrays[index] for index in range(len(tensors))]
