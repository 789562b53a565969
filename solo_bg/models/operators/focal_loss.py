"""The focal loss as mmcv compiles it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, eq. 5) of sigmoid scores, each class on its own, written into `output`.

    Args:
        input: logits, float (N, C).
        target: int64 (N,); C (or any number outside 0..C-1) is background.
        weight: per-class weight (C,), or empty for none; background rows then take the weight 1.
        output: float (N, C), overwritten.
    """
    is_class, log_p, log_not_p = _focal_terms(input, target)
    p = input.float().sigmoid()
    positive = -alpha * (1 - p) ** gamma * log_p
    negative = -(1 - alpha) * p**gamma * log_not_p
    output.copy_(positive.where(is_class, negative) * _row_weight(target, weight, input.shape[1]))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of `sigmoid_focal_loss_forward` by `input`, written into `grad_input` (N, C)."""
    is_class, log_p, log_not_p = _focal_terms(input, target)
    p = input.float().sigmoid()
    positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * log_p)
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * log_not_p - p)
    grad_input.copy_(positive.where(is_class, negative) * _row_weight(target, weight, input.shape[1]))


def _focal_terms(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bool (N, C): the target's class; log p and log(1 - p), float32 (N, C)."""
    is_class = target[:, None] == torch.arange(input.shape[1], device=input.device)
    logits = input.float()
    return is_class, F.logsigmoid(logits), F.logsigmoid(-logits)


def _row_weight(target: Tensor, weight: Tensor, num_classes: int) -> Tensor:
    if weight.numel() == 0:
        return weight.new_ones(1, 1)
    foreground = (target >= 0) & (target < num_classes)
    return weight[target.clamp(0, num_classes - 1)].where(foreground, weight.new_ones(()))[:, None]
