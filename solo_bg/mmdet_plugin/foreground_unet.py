"""A U-Net that finds the foreground: one logit for each pixel, on any of mmdet's ResNets.

U-Net: https://arxiv.org/abs/1505.04597. The backbone is its encoder. The decoder doubles the size of the deepest
feature map step by step, and joins the backbone's map of the same size at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from solo_bg.mmdet_plugin.foreground_head import ignored_masks, union
from solo_bg.mmdet_plugin.foreground_parts import connected_parts

SMOOTH = 1.0  # pixels added to intersection and union, so that two empty masks agree


@MODELS.register_module()
class ForegroundUNet(SingleStageInstanceSegmentor):
    """mmdet's single-stage segmenter with a `UNetDecoder` as neck and a `ForegroundHead` as mask head.

    The decoder also gets the feature map at half the image's size, which mmdet's ResNets compute and do not return.

    Raises:
        ValueError: the backbone is no ResNet.
    """

    def __init__(self, backbone: dict, **kwargs: Any) -> None:
        super().__init__(backbone, **kwargs)
        if not hasattr(self.backbone, 'maxpool'):
            kind = type(self.backbone).__name__
            raise ValueError(f'ForegroundUNet needs a ResNet as backbone, such as ResNet or ResNeXt; got {kind}')

    def extract_feat(self, batch_inputs: Tensor) -> Tensor:
        """Images, float (B, 3, H, W) -> the decoder's features, float (B, C, H, W)."""
        stem: list[Tensor] = []
        hook = self.backbone.maxpool.register_forward_pre_hook(lambda _, inputs: stem.append(inputs[0]))
        try:
            features = self.backbone(batch_inputs)
        finally:
            hook.remove()
        height, width = batch_inputs.shape[-2:]
        return self.neck((*stem, *features))[..., :height, :width]


@MODELS.register_module()
class UNetDecoder(BaseModule):
    """Feature maps from the largest to the smallest -> one map twice as large as the largest.

    Args:
        in_channels: channels of the feature maps, the largest first. A ResNet of depth 18 or 34 has 64, 64, 128, 256,
            512; a deeper one 64, 256, 512, 1024, 2048.
        channels: channels after each step, one for each feature map; the deepest step comes first.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 64, 128, 256, 512),
        channels: Sequence[int] = (256, 128, 64, 32, 16),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(channels) != len(in_channels):
            raise ValueError(f'channels must have one number for each of in_channels {in_channels}; got {channels}')
        deepest, *skips = reversed(in_channels)
        given = [deepest, *channels[:-1]]
        steps = zip(given, [*skips, 0], channels, strict=True)
        self.steps = nn.ModuleList(two_convolutions(before + skip, after) for before, skip, after in steps)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x, *skips = reversed(features)
        for step, skip in zip(self.steps, [*skips, None], strict=True):
            if skip is None:
                x = F.interpolate(x, scale_factor=2)
            else:
                x = torch.cat([F.interpolate(x, skip.shape[-2:]), skip], 1)
            x = step(x)
        return x


def two_convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


@MODELS.register_module()
class ForegroundHead(BaseModule):
    """One logit for each pixel; the foreground is the union of the annotated masks.

    The losses leave out crowd regions, unless they are annotated as foreground as well, and padding.

    Args:
        in_channels: of the decoder's features.
        labels: labels that are foreground (default: all that the data set gives).
        bce_weight, jaccard_weight: weights of the two losses.
        train_cfg: not used.
        test_cfg: `mask_thr` (0.5): foreground is where the probability is higher. `parts` (False): one instance for
            each connected part, instead of one for all. `min_area` (0): smallest number of pixels of an instance.
            `max_per_img` (100): largest number of parts; the largest parts are kept.
    """

    num_classes = 1

    def __init__(
        self,
        in_channels: int = 16,
        labels: Sequence[int] | None = None,
        bce_weight: float = 1.0,
        jaccard_weight: float = 1.0,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.conv_mask = nn.Conv2d(in_channels, 1, 3, padding=1)
        self.labels = labels
        self.bce_weight, self.jaccard_weight = bce_weight, jaccard_weight
        self.test_cfg = {'mask_thr': 0.5, 'parts': False, 'min_area': 0, 'max_per_img': 100, **(test_cfg or {})}

    def forward(self, x: Tensor) -> Tensor:
        """Features, float (B, C, H, W) -> logits, float (B, H, W)."""
        return self.conv_mask(x)[:, 0]

    def loss(self, x: Tensor, batch_data_samples: SampleList, **kwargs: Any) -> dict[str, Tensor]:
        """Return `loss_bce` and `loss_jaccard`, and `iou`, which is not trained."""
        logits = self(x).float()
        targets, counted = self.targets(batch_data_samples, logits)
        found = (logits > 0).float()
        return {
            'loss_bce': self.bce_weight * binary_cross_entropy(logits, targets, counted),
            'loss_jaccard': self.jaccard_weight * (1 - soft_iou(logits.sigmoid(), targets, counted)).mean(),
            'iou': soft_iou(found, targets, counted).mean(),
        }

    def targets(self, samples: SampleList, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What the logits, (B, H, W), are to be: the foreground and the pixels that count, float (B, H, W), 0 or 1."""
        size = (logits.shape[1], logits.shape[2])
        targets, counted = torch.zeros_like(logits), torch.zeros_like(logits)
        for sample, target, count in zip(samples, targets, counted, strict=True):
            masks = sample.gt_instances.masks
            if self.labels is not None:
                chosen = torch.isin(sample.gt_instances.labels.cpu(), torch.tensor(self.labels))
                masks = masks[chosen.numpy()]
            height, width = sample.img_shape[:2]
            target[:height, :width] = union(masks, size, logits.device)[:height, :width]
            count[:height, :width] = 1
            count *= 1 - union(ignored_masks(sample), size, logits.device) * (1 - target)
        return targets, counted

    def predict(
        self, x: Tensor, batch_data_samples: SampleList, rescale: bool = True, **kwargs: Any
    ) -> list[InstanceData]:
        """The instances of each image, best score first.

        Returns:
            for each image `masks`, bool (N, H, W); `scores`, float32 (N,), the mean probability inside the mask;
            `labels`, int64 (N,), all 0; `bboxes`, float32 (N, 4), all 0.
        """
        logits = self(x).float()
        return [self.predict_one(*pair, rescale) for pair in zip(logits, batch_data_samples, strict=True)]

    def predict_one(self, logits: Tensor, sample: Any, rescale: bool) -> InstanceData:
        height, width = sample.img_shape[:2]
        probability = logits[None, None, :height, :width].sigmoid()
        if rescale and sample.ori_shape[:2] != (height, width):
            probability = F.interpolate(probability, tuple(sample.ori_shape[:2]), mode='bilinear')
        probability = probability[0, 0]
        mask = probability > self.test_cfg['mask_thr']
        if self.test_cfg['parts']:
            masks = connected_parts(mask, self.test_cfg['min_area'], self.test_cfg['max_per_img'])
        else:
            masks = mask[None][: int(mask.sum() >= max(self.test_cfg['min_area'], 1))]
        scores = torch.stack([probability[one].mean() for one in masks]) if len(masks) else probability.new_zeros(0)
        order = scores.argsort(descending=True, stable=True)
        found = InstanceData(masks=masks[order], scores=scores[order])
        found.labels = torch.zeros_like(order)
        found.bboxes = scores.new_zeros(len(scores), 4)
        return found


def binary_cross_entropy(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """The mean over all pixels that count; 0 if none does. All float (B, H, W); `targets` and `counted` are 0 or 1."""
    entropy = F.binary_cross_entropy_with_logits(logits, targets, counted, reduction='sum')
    return entropy / counted.sum().clamp(min=1)


def soft_iou(probability: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """Jaccard's index of each image, (B,), with probabilities in place of a mask; `SMOOTH` is added on both sides.

    All arguments are float (B, H, W); `targets` and `counted` are 0 or 1.
    """
    probability, targets = probability * counted, targets * counted
    both = (probability * targets).sum((1, 2))
    either = (probability + targets).sum((1, 2)) - both
    return (both + SMOOTH) / (either + SMOOTH)
