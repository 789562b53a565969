"""Masks without scores -> `Instances`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solo_bg.core.instances import Instances


def instances_of(masks: Tensor, class_names: Sequence[str]) -> Instances:
    """One instance for each class whose mask is not empty, its score 1.

    Args:
        masks: bool (C, H, W), one for each class name.
    """
    (present,) = masks.flatten(1).any(1).nonzero(as_tuple=True)
    return Instances(masks[present], present, torch.ones(len(present), device=masks.device), class_names)
