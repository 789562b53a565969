"""Additions to mmdet's SOLO for training on few images: a dense foreground loss, and losses that ignore crowd regions.

SOLO's own losses reach only a few cells of an image. A dense target teaches the backbone much more from each image,
which matters with a few hundred images. The extra branch is used in training only: `strip` removes it from a
checkpoint, which then fits mmdet's `DecoupledSOLOLightHead`.

A crowd region (`iscrowd` in COCO's annotations) holds objects that nobody annotated one by one. mmdet's SOLO treats it
as background; the classes here leave it out of every loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.datasets.transforms import CopyPaste
from mmdet.models.dense_heads import DecoupledSOLOLightHead
from mmdet.models.losses import FocalLoss
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor, nn

IGNORED = -1  # label of a grid cell that the losses leave out


@MODELS.register_module()
class IgnoringFocalLoss(FocalLoss):
    """mmdet's focal loss without the targets that are `IGNORED`."""

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None, **kwargs) -> Tensor:
        ignored = target == IGNORED
        counted = (~ignored).to(pred.dtype)
        background = pred.shape[1]
        target = target.masked_fill(ignored, background)
        return super().forward(pred, target, counted if weight is None else weight * counted, **kwargs)


@MODELS.register_module()
class ForegroundDecoupledSOLOLightHead(DecoupledSOLOLightHead):
    """mmdet's head with an additional loss, `loss_foreground`, on the feature map of stride 8; no loss counts crowds.

    It needs `loss_cls=dict(type='IgnoringFocalLoss', ...)`, because cells inside a crowd get the label `IGNORED`.

    Args:
        foreground_weight: weight of the additional loss (binary cross-entropy + 1 - Dice); 0 switches it off.
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
        size = tuple(batch_data_samples[0].batch_input_shape)
        crowds = torch.stack([union(ignored_masks(sample), size, x[0].device) for sample in batch_data_samples])
        for sample, crowd in zip(batch_data_samples, crowds, strict=True):
            sample.gt_instances.set_metainfo({'crowd': crowd})
        losses = super().loss(x, batch_data_samples, **kwargs)
        if self.foreground_weight == 0:
            return losses
        target = torch.stack([union(sample.gt_instances.masks, size, x[0].device) for sample in batch_data_samples])
        loss = self.foreground_loss(x[1], target, 1 - crowds * (1 - target))
        return losses | {'loss_foreground': self.foreground_weight * loss}

    def foreground_loss(self, features: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        """Return binary cross-entropy + 1 - Dice over the pixels that count.

        Args:
            features: float (B, C, h, w), the feature map of stride 8.
            target: float (B, H, W), 1 on foreground and 0 elsewhere.
            counted: float (B, H, W), 1 where a pixel counts and 0 elsewhere.
        """
        logits = self.foreground(features)[:, 0].float()
        target = F.interpolate(target[:, None], logits.shape[-2:], mode='area')[:, 0]
        counted = F.interpolate(counted[:, None], logits.shape[-2:], mode='area')[:, 0]
        entropy = F.binary_cross_entropy_with_logits(logits, target, counted, reduction='sum') / counted.sum().add(1)
        probability, target = logits.sigmoid() * counted, target * counted
        overlap = (2 * (probability * target).sum((1, 2)) + 1) / (probability + target).sum((1, 2)).add(1)
        return entropy + (1 - overlap).mean()

    def loss_by_feat(self, *levels: list[Tensor], **kwargs) -> dict[str, Tensor]:
        """Compute mmdet's losses in float32, also under autocast: bfloat16 is too coarse to sum a mask."""
        return super().loss_by_feat(*([level.float() for level in part] for part in levels), **kwargs)

    def _get_targets_single(self, gt_instances: InstanceData, featmap_sizes: list | None = None) -> tuple:
        """Return mmdet's targets of one image; background cells more than half inside a crowd are `IGNORED`."""
        masks, labels, positions = super()._get_targets_single(gt_instances, featmap_sizes=featmap_sizes)
        crowd = gt_instances.crowd[None, None]
        for level in labels:
            inside = F.interpolate(crowd, level.shape, mode='area')[0, 0] > 0.5
            level[inside & (level == self.num_classes)] = IGNORED
        return masks, labels, positions


@TRANSFORMS.register_module()
class CopyPasteInstances(CopyPaste):
    """mmdet's `CopyPaste`, except that it never pastes a crowd region."""

    def _select_object(self, results: dict) -> dict:
        instances = (~results['gt_ignore_flags'].astype(bool)).nonzero()[0]
        for name in ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks', 'gt_ignore_flags'):
            results[name] = results[name][instances]
        return super()._select_object(results)


def ignored_masks(sample: DetDataSample) -> BitmapMasks | None:
    """Return the masks of an image's crowd regions; None if the sample has none."""
    return sample.ignored_instances.masks if 'ignored_instances' in sample else None


def union(masks: BitmapMasks | None, size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the union of an image's masks, float32 (H, W) of height and width `size`, 0 or 1."""
    mask = torch.zeros(size, device=device)
    if masks is not None and len(masks):
        mask[: masks.height, : masks.width] = masks.to_tensor(torch.float32, device).amax(0)
    return mask


def strip(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without the branch that is used in training only."""
    return {name: value for name, value in state_dict.items() if not name.startswith('mask_head.foreground.')}
