"""The sigmoid focal loss with the signature of mmcv's compiled operator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the focal loss of sigmoid scores, each class separately, and write it into `output`.

    Source: Lin et al. 2017, equation 5.

    Args:
        input: logits, float (N, C).
        target: int64 (N,), class indices; C (or any number outside 0..C-1) means background.
        weight: float (C,), a weight for each class, or empty for none. Background rows have the weight 1.
        output: float (N, C), overwritten.
        gamma, alpha: the exponent, and the weight of positive targets.
    """
    is_class, log_p, log_not_p = _focal_terms(input, target)
    p = input.float().sigmoid()
    positive = -alpha * (1 - p) ** gamma * log_p
    negative = -(1 - alpha) * p**gamma * log_not_p
    output.copy_(positive.where(is_class, negative) * _row_weight(target, weight, input.shape[1]))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the derivative of `sigmoid_focal_loss_forward` by `input` and write it into `grad_input` (N, C)."""
    is_class, log_p, log_not_p = _focal_terms(input, target)
    p = input.float().sigmoid()
    positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * log_p)
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * log_not_p - p)
    grad_input.copy_(positive.where(is_class, negative) * _row_weight(target, weight, input.shape[1]))


def _focal_terms(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which class is the target, bool (N, C), and log p and log(1 - p), float32 (N, C)."""
    is_class = target[:, None] == torch.arange(input.shape[1], device=input.device)
    logits = input.float()
    return is_class, F.logsigmoid(logits), F.logsigmoid(-logits)


def _row_weight(target: Tensor, weight: Tensor, num_classes: int) -> Tensor:
    """Return the weight of each row's target, (N, 1); (1, 1) without weights."""
    if weight.numel() == 0:
        return weight.new_ones(1, 1)
    foreground = (target >= 0) & (target < num_classes)
    return weight[target.clamp(0, num_classes - 1)].where(foreground, weight.new_ones(()))[:, None]
