"""mmdet's decoupled light SOLO head with a foreground map as third factor of its masks; losses that ignore crowds.

SOLO's own losses reach only a few cells of an image, so with a few hundred images its masks stay coarse. A dense target
teaches the backbone much more from each image, and what the map has learnt sharpens every mask: a pixel belongs to an
instance where column, row *and* foreground map say so.

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

import solo_bg.mmdet_plugin.short_resnet  # noqa: F401  (registers the bundled model's backbone, too)
from solo_bg.mmdet_plugin.lazy_solo import LazyDecoupledSOLOLightHead

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
    """mmdet's head with a branch that tells foreground from background on the feature map of stride 8.

    In training the branch has a loss of its own, `loss_foreground`, and no loss counts crowds. In use every soft mask
    is multiplied by the branch's probability.

    It needs `loss_cls=dict(type='IgnoringFocalLoss', ...)`, because cells inside a crowd get the label `IGNORED`.

    Args:
        foreground_weight: weight of the additional loss (binary cross-entropy + 1 - Dice); 0: the branch is left out.
    """

    def __init__(self, *args, foreground_weight: float = 1.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.foreground_weight = foreground_weight
        if foreground_weight:
            self.foreground = nn.Sequential(
                nn.Conv2d(self.in_channels, self.in_channels, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(self.in_channels, 1, 1),
            )

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Compute mmdet's maps of columns, rows and classes; the foreground map multiplies those of columns.

        In training mmdet's maps are logits. The products are returned as logits, too, and masks do not teach the map.
        """
        columns, rows, classes = super().forward(x)
        if not self.foreground_weight:
            return columns, rows, classes
        logits = self.foreground(x[1]).float()
        if self.training:
            columns = [logit_of_product(one.float(), enlarged(logits.detach(), one.shape[-2:])) for one in columns]
        else:
            columns = [one * enlarged(logits, one.shape[-2:]).sigmoid() for one in columns]
        return columns, rows, classes

    def foreground_map(self, x: tuple[Tensor, ...], canvas: tuple[int, int]) -> Tensor:
        """Return the probability of foreground, float32 (B, 1, *canvas), 0 to 1."""
        return enlarged(self.foreground(x[1]).float(), canvas).sigmoid()

    def loss(self, x: tuple[Tensor, ...], batch_data_samples: SampleList, **kwargs) -> dict[str, Tensor]:
        size = tuple(batch_data_samples[0].batch_input_shape)
        crowds = torch.stack([union(ignored_masks(sample), size, x[0].device) for sample in batch_data_samples])
        for sample, crowd in zip(batch_data_samples, crowds, strict=True):
            sample.gt_instances.set_metainfo({'crowd': crowd})
        losses = super().loss(x, batch_data_samples, **kwargs)
        if not self.foreground_weight:
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


@MODELS.register_module()
class LazyForegroundDecoupledSOLOLightHead(LazyDecoupledSOLOLightHead, ForegroundDecoupledSOLOLightHead):
    """`ForegroundDecoupledSOLOLightHead`, predicting lazily."""

    def mask_factor(self, x: tuple[Tensor, ...], canvas: tuple[int, int]) -> Tensor | None:
        return self.foreground_map(x, canvas) if self.foreground_weight else None


@TRANSFORMS.register_module()
class CopyPasteInstances(CopyPaste):
    """mmdet's `CopyPaste`, except that it never pastes a crowd region."""

    def _select_object(self, results: dict) -> dict:
        instances = (~results['gt_ignore_flags'].astype(bool)).nonzero()[0]
        for name in ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks', 'gt_ignore_flags'):
            results[name] = results[name][instances]
        return super()._select_object(results)


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps, float (B, 1, h, w), to height and width `size`."""
    return F.interpolate(logits, size=size, mode='bilinear')


def logit_of_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the logit of `a.sigmoid() * b.sigmoid()`."""
    product = F.logsigmoid(a) + F.logsigmoid(b)
    return product - torch.log(-torch.expm1(product.clamp(max=-1e-6)))


def ignored_masks(sample: DetDataSample) -> BitmapMasks | None:
    """Return the masks of an image's crowd regions; None if the sample has none."""
    return sample.ignored_instances.masks if 'ignored_instances' in sample else None


def union(masks: BitmapMasks | None, size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the union of an image's masks, float32 (H, W) of height and width `size`, 0 or 1."""
    mask = torch.zeros(size, device=device)
    if masks is not None and len(masks):
        mask[: masks.height, : masks.width] = masks.to_tensor(torch.float32, device).amax(0)
    return mask
