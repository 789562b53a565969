"""torchvision's compiled operators, where torchvision can be imported. It is no dependency."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor


@functools.lru_cache(maxsize=1)
def torchvision_ops() -> Any:
    """The module `torchvision.ops`; None where torchvision is missing, or was built for another torch."""
    try:
        import torchvision.ops  # type: ignore[import-not-found,unused-ignore]
    except (ImportError, RuntimeError, OSError):
        return None
    return torchvision.ops


def can_compute(*tensors: Tensor) -> bool:
    """Whether torchvision takes these tensors: float32 or float64, all the same type."""
    kinds = {tensor.dtype for tensor in tensors}
    return torchvision_ops() is not None and len(kinds) == 1 and kinds <= {torch.float32, torch.float64}
