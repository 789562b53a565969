"""A SOLO head that also learns foreground from background, pixel by pixel. For training from scratch on little data.

SOLO's own losses reach few cells of an image; a dense target teaches the backbone far more an image. The branch is
used in training only: `strip` takes it out of a checkpoint, which then fits mmdet's `DecoupledSOLOLightHead`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import DecoupledSOLOLightHead
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from torch import Tensor, nn


@MODELS.register_module()
class ForegroundDecoupledSOLOLightHead(DecoupledSOLOLightHead):
    """mmdet's head with one more loss, `loss_foreground`, on the feature map of stride 8.

    Args:
        foreground_weight: weight of that loss (binary cross-entropy + 1 - Dice).
    """

    def __init__(self, *args, foreground_weight: float = 1.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.foreground_weight = foreground_weight
        self.foreground = nn.Sequential(
            nn.Conv2d(self.in_channels, self.in_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.in_channels, 1, 1),
        )

    def loss(self, x: tuple[Tensor, ...], batch_data_samples: SampleList, **kwargs) -> dict[str, Tensor]:
        losses = super().loss(x, batch_data_samples, **kwargs)
        logits = self.foreground(x[1])[:, 0].float()  # (B, H/8, W/8)
        size = tuple(batch_data_samples[0].batch_input_shape)
        target = torch.stack([union(sample.gt_instances.masks, size, logits.device) for sample in batch_data_samples])
        target = F.interpolate(target[:, None], logits.shape[-2:], mode='area')[:, 0]
        probability = logits.sigmoid()
        overlap = (2 * (probability * target).sum((1, 2)) + 1) / (probability + target).sum((1, 2)).add(1)
        loss = F.binary_cross_entropy_with_logits(logits, target) + (1 - overlap).mean()
        return losses | {'loss_foreground': self.foreground_weight * loss}

    def loss_by_feat(self, *levels: list[Tensor], **kwargs) -> dict[str, Tensor]:
        """mmdet's losses in float32, whatever autocast made of the predictions: bfloat16 cannot sum a mask."""
        return super().loss_by_feat(*([level.float() for level in part] for part in levels), **kwargs)


def union(masks, size: tuple[int, int], device: torch.device) -> Tensor:
    """Where any of an image's ground-truth masks (mmdet's `BitmapMasks`) is set; float32 (H, W) of `size`, 0 or 1."""
    mask = torch.zeros(size, device=device)
    if len(masks):
        mask[: masks.height, : masks.width] = masks.to_tensor(torch.float32, device).amax(0)
    return mask


def strip(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the branch that only training uses."""
    return {name: value for name, value in state_dict.items() if not name.startswith('mask_head.foreground.')}
