"""Stages 2 to 5 of Multi-task Network Cascades: masks and classes of boxes. `mnc` is the detector around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.mask import mask_target
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from solo_bg.core.instances import Instances
from solo_bg.mmdet_plugin.mask_voting import vote
from solo_bg.mmdet_plugin.roi_warping import warp_rois

BOX_STDS = (0.1, 0.1, 0.2, 0.2)  # of the regressed offsets, as in Fast R-CNN


class Stage(NamedTuple):
    """What stages 2 and 3 predict for N boxes.

    Attributes:
        rois: float (N, 5): index in the batch, then the box as xyxy in pixels of the input.
        masks: logits, float (N, m, m).
        classes: logits, float (N, C + 1); the last one is background.
        deltas: float (N, C, 4), the offsets to the box of each class.
    """

    rois: Tensor
    masks: Tensor
    classes: Tensor
    deltas: Tensor


class Targets(NamedTuple):
    """What the boxes of one image should give: label, int64 (n,), and object, int64 (n,), -1 for none. Boxes with the
    label -1 do not count."""

    labels: Tensor
    objects: Tensor


class MaskStage(nn.Module):
    """Stage 2: features in a box, (N, C, s, s) -> logits of its mask, (N, m, m)."""

    def __init__(self, in_channels: int, side: int, channels: int, mask_size: int) -> None:
        super().__init__()
        self.mask_size = mask_size
        self.reduce = nn.Linear(in_channels * side**2, channels)
        self.predict = nn.Linear(channels, mask_size**2)

    def forward(self, x: Tensor) -> Tensor:
        return self.predict(self.reduce(x.flatten(1)).relu()).unflatten(1, (self.mask_size, self.mask_size))


class ClassStage(nn.Module):
    """Stage 3: features in a box, and the same times the mask, -> logits of classes and offsets of the box."""

    def __init__(self, num_classes: int, in_channels: int, side: int, channels: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.of_box, self.of_mask = (
            nn.Sequential(
                nn.Linear(in_channels * side**2, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()
            )
            for _ in range(2)
        )
        self.classify = nn.Linear(2 * channels, num_classes + 1)
        self.regress = nn.Linear(2 * channels, 4 * num_classes)
        nn.init.normal_(self.regress.weight, std=0.001)  # the first boxes of stage 4 are close to those of stage 1
        nn.init.zeros_(self.regress.bias)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([self.of_box(x.flatten(1)), self.of_mask((x * mask[:, None]).flatten(1))], 1)
        return self.classify(joined), self.regress(joined).unflatten(1, (self.num_classes, 4))


@MODELS.register_module()
class CascadeStages(BaseModule):
    """Stages 2 and 3 of a cascade, or 2 to 5.

    Args:
        num_classes: number of classes, without background.
        in_channels, stride: of the feature map.
        stages: 3 or 5.
        mask_channels, class_channels: widths of the fully connected layers of stages 2 and 3.
        warp_size: boxes are warped to this height and width, and then halved by max pooling. Masks have it too.
        train_cfg: `assigner` and `sampler`, as in mmdet's `train_cfg.rcnn`.
        test_cfg: `score_thr`, instances must score higher; `iou_thr` of the NMS of boxes; `max_per_img`; `mask_thr`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stride: float,
        stages: int = 5,
        mask_channels: int = 256,
        class_channels: int = 1024,
        warp_size: int = 28,
        train_cfg: ConfigDict | None = None,
        test_cfg: ConfigDict | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if stages not in (3, 5):
            raise ValueError(f'stages must be 3 or 5, got {stages}')
        self.stages, self.stride, self.warp_size, self.test_cfg = stages, stride, warp_size, test_cfg
        self.mask_head = MaskStage(in_channels, warp_size // 2, mask_channels, warp_size)
        self.bbox_head = ClassStage(num_classes, in_channels, warp_size // 2, class_channels)
        self.coder = TASK_UTILS.build({'type': 'DeltaXYWHBBoxCoder', 'target_stds': BOX_STDS})
        if train_cfg:
            self.assigner = TASK_UTILS.build(train_cfg.assigner)
            self.sampler = TASK_UTILS.build(train_cfg.sampler)

    def forward(self, features: Tensor, rois: Tensor) -> Stage:
        """Stages 2 and 3 for boxes, float (N, 5), with the image's index first, in the order of the images."""
        warped = F.max_pool2d(warp_rois(features, rois, self.warp_size, self.stride), 2)
        masks = self.mask_head(warped)
        classes, deltas = self.bbox_head(warped, F.avg_pool2d(masks.sigmoid()[:, None], 2)[:, 0])
        return Stage(rois, masks.float(), classes.float(), deltas.float())

    def stages_of(self, features: Tensor, boxes: Sequence[Tensor], metas: Sequence[dict]) -> list[Stage]:
        """Stages 2 and 3, and also 4 and 5 in a cascade of five, for the boxes of each image, float (n, 4)."""
        found = [self(features, to_rois(boxes))]
        if self.stages == 5:
            found.append(self(features, to_rois(self.refine(found[0], metas))))
        return found

    def refine(self, stage: Stage, metas: Sequence[dict]) -> list[Tensor]:
        """The boxes of each image, float (n, 4), moved by the offsets of their best class."""
        best = stage.classes[:, :-1].argmax(1)
        deltas = stage.deltas[torch.arange(len(best), device=best.device), best]
        moved = []
        for image, meta in enumerate(metas):
            own = stage.rois[:, 0] == image
            moved.append(self.coder.decode(stage.rois[own, 1:], deltas[own], max_shape=meta['img_shape']))
        return moved

    # ---- training

    def loss(self, features: Tensor, boxes: Sequence[Tensor], samples: SampleList) -> dict[str, Tensor]:
        """The losses of all stages. `boxes` of each image, float (n, 4), may carry gradients."""
        chosen = [self.sample(one, sample) for one, sample in zip(boxes, samples, strict=True)]
        stages = self.stages_of(features, chosen, [sample.metainfo for sample in samples])
        losses = {}
        for number, stage in enumerate(stages):
            for name, value in self.stage_losses(stage, samples).items():
                losses[f'{name}{"_again" if number else ""}'] = value
        return losses

    def sample(self, boxes: Tensor, sample: DetDataSample) -> Tensor:
        """The boxes of one image that are trained on, float (n, 4), with their gradients."""
        assigned = self.assign(boxes, sample)
        return self.sampler.sample(assigned, InstanceData(priors=boxes), sample.gt_instances).priors

    def assign(self, boxes: Tensor, sample: DetDataSample) -> AssignResult:
        priors = InstanceData(priors=boxes.detach())
        return self.assigner.assign(priors, sample.gt_instances, sample.get('ignored_instances'))

    def targets(self, boxes: Tensor, sample: DetDataSample) -> Targets:
        """What each box of one image should give. Boxes inside crowd regions do not count."""
        objects = self.assign(boxes, sample).gt_inds - 1
        labels = torch.full_like(objects, self.bbox_head.num_classes)
        labels[objects >= 0] = sample.gt_instances.labels[objects[objects >= 0]]
        return Targets(labels.masked_fill(objects == -2, -1), objects.clamp(min=-1))

    def stage_losses(self, stage: Stage, samples: SampleList) -> dict[str, Tensor]:
        """The losses of two stages.

        They are the logistic loss of the masks, its mean over the boxes of objects; the cross-entropy of the classes,
        its mean over all boxes; and the smooth L1 loss of the offsets, its sum divided by the number of all boxes.
        """
        boxes = [stage.rois[stage.rois[:, 0] == image, 1:].detach() for image in range(len(samples))]
        targets = [self.targets(one, sample) for one, sample in zip(boxes, samples, strict=True)]
        labels, objects = (torch.cat(parts) for parts in zip(*targets, strict=True))
        rows = (objects >= 0).nonzero()[:, 0]
        nothing = stage.masks.sum() * 0 + stage.classes.sum() * 0 + stage.deltas.sum() * 0
        losses = {'loss_mask': nothing, 'loss_class': nothing, 'loss_box': nothing}
        if (labels >= 0).any():
            losses['loss_class'] = F.cross_entropy(stage.classes, labels, ignore_index=-1)
        if len(rows):
            of_objects = [(one, own.objects, own.objects >= 0) for one, own in zip(boxes, targets, strict=True)]
            wanted = mask_target(
                [one[own] for one, _, own in of_objects],
                [one[own] for _, one, own in of_objects],
                [sample.gt_instances.masks for sample in samples],
                ConfigDict(mask_size=stage.masks.shape[-1]),
            )
            losses['loss_mask'] = F.binary_cross_entropy_with_logits(stage.masks[rows], wanted.to(stage.masks))
            aims = torch.cat(
                [
                    self.coder.encode(one[own], sample.gt_instances.bboxes[rows_of[own]])
                    for (one, rows_of, own), sample in zip(of_objects, samples, strict=True)
                ]
            )
            offsets = stage.deltas[rows, labels[rows]]
            losses['loss_box'] = F.smooth_l1_loss(offsets, aims, reduction='sum') / (labels >= 0).sum()
        return losses

    # ---- prediction

    def find(
        self, features: Tensor, boxes: Sequence[Tensor], metas: Sequence[dict], rescale: bool = True
    ) -> list[Instances]:
        """The instances of each image, best score first, in pixels of the image, or of the input without `rescale`."""
        stages = self.stages_of(features, boxes, metas)
        found = []
        for image, meta in enumerate(metas):
            own = [stage.rois[:, 0] == image for stage in stages]
            rois, masks, classes = (
                torch.cat([getattr(stage, name)[rows] for stage, rows in zip(stages, own, strict=True)])
                for name in ('rois', 'masks', 'classes')
            )
            cut = tuple(meta['img_shape'][:2])
            size = tuple(meta['ori_shape'][:2]) if rescale else cut
            stretch = rois.new_tensor([size[1] / cut[1], size[0] / cut[0]] * 2)
            scores = classes.softmax(1)[:, :-1]
            with torch.autocast(rois.device.type, enabled=False):
                found.append(vote(rois[:, 1:] * stretch, masks.sigmoid(), scores, size, self.test_cfg))
        return found


def to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """The boxes of each image, float (n, 4) -> float (N, 5) with the image's index first."""
    return torch.cat([F.pad(one, (1, 0), value=image) for image, one in enumerate(boxes)])
