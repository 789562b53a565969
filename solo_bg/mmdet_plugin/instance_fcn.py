"""InstanceFCN: masks assembled from score maps, one for each part of an instance (https://arxiv.org/abs/1603.08678)."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from torch import Tensor, nn

from solo_bg.mmdet_plugin.assembling import assemble, windows_of
from solo_bg.mmdet_plugin.proposals import Level, PyramidDetector, Size, compare, distant, fits, scaled_by

STRIDE = 8


@MODELS.register_module()
class InstanceFCNHead(BaseModule):
    """The two branches of InstanceFCN on the features of stride 8.

    The mask branch gives k x k instance-sensitive score maps. Each answers for every pixel whether it belongs to that
    part (top left, top, ...) of an instance. The objectness branch tells for every pixel whether a window centred there
    holds an instance. Features of stride 8 come from a trunk whose last stages are dilated in place of strided.

    Args:
        in_channels: of the features.
        feat_channels: of each branch's first convolution.
        parts: k.
        window: side of a window in features, odd.
        samples: windows of each image that the losses are computed on.
        num_classes: 1, as masks of any class are found.
    """

    def __init__(
        self,
        in_channels: int,
        feat_channels: int = 512,
        parts: int = 5,
        window: int = 21,
        samples: int = 256,
        num_classes: int = 1,
        train_cfg: Any = None,
        test_cfg: Any = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if window % 2 == 0 or not 0 < parts <= window:
            raise ValueError(f'window must be odd and at least as large as parts, got {window} and {parts}')
        self.num_classes, self.parts, self.window, self.samples = num_classes, parts, window, samples
        self.mask_maps = nn.Sequential(
            nn.Conv2d(in_channels, feat_channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(feat_channels, parts**2, 3, padding=1),
        )
        self.objectness = nn.Sequential(
            nn.Conv2d(in_channels, feat_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(feat_channels, 1, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """float (B, C, h, w) -> logits of the score maps, (B, k * k, h, w), and of objectness, (B, h, w)."""
        return self.mask_maps(x).float(), self.objectness(x)[:, 0].float()

    def masks_at(self, maps: Tensor, rows: Tensor) -> Tensor:
        """The soft masks of the windows centred on some features of an image.

        Args:
            maps: float32 (1, k * k, h, w), logits.
            rows: int64 (n,), the features' numbers, row by row.

        Returns:
            float32 (n, window, window), in 0..1.
        """
        width = maps.shape[-1]
        return assemble(maps[0], torch.stack([rows // width, rows % width], 1), self.parts, self.window).sigmoid()

    def loss(
        self, maps: Tensor, objectness: Tensor, boxes: Tensor, masks: Tensor, crowds: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The losses of one image, on windows drawn at random: half of them fit an object, if there are so many, and
        the others are far from all objects. The logistic loss of objectness is the windows' mean; that of the masks is
        the mean over the pixels of the fitting windows, without those beyond the image.

        Args:
            maps: float32 (k * k, h, w), logits.
            objectness: float32 (h, w), logits.
            boxes: float (N, 4), the objects, xyxy in pixels.
            masks: bool (N, h, w), their masks at the features' size.
            crowds: bool (h, w), where crowd regions are: no window centred there is a negative example.

        Returns:
            the loss of objectness and that of the masks; 0 where there is nothing to learn from.
        """
        height, width = objectness.shape
        y, x = torch.meshgrid(*(torch.arange(side, device=maps.device) for side in (height, width)), indexing='ij')
        places = torch.stack([y, x], 2).reshape(-1, 2)
        shift, octaves = compare((places.flip(1) + 0.5) * STRIDE, float(self.window * STRIDE), boxes)
        fitting = fits(shift, octaves)
        positive = draw(fitting.any(1), self.samples // 2)
        negative = draw(distant(shift, octaves) & ~crowds.flatten(), self.samples - len(positive))
        logits = objectness.flatten()
        score_loss = torch.cat([F.softplus(-logits[positive]), F.softplus(logits[negative])])
        if not len(positive):
            return mean(score_loss, logits), 0 * maps.sum()
        which = shift.masked_fill(~fitting, torch.inf)[positive].argmin(1)  # of several objects, the nearest
        centres = places[positive]
        target = windows_of(masks, centres, which, self.window)
        inside = windows_of(torch.ones_like(masks[:1]), centres, torch.zeros_like(which), self.window)
        assembled = assemble(maps, centres, self.parts, self.window)
        mask_loss = F.binary_cross_entropy_with_logits(assembled, target.to(maps.dtype), reduction='none')
        return mean(score_loss, logits), mean(mask_loss[inside], maps)


def mean(losses: Tensor, logits: Tensor) -> Tensor:
    """The mean; 0, with a gradient of 0 for the logits, if there are no losses."""
    return losses.mean() if len(losses) else 0 * logits.sum()


def draw(flags: Tensor, most: int) -> Tensor:
    """The positions of some true values of bool (P,), drawn at random, at most `most`: int64."""
    (chosen,) = flags.nonzero(as_tuple=True)
    return chosen[torch.randperm(len(chosen), device=chosen.device)[:most]]


@MODELS.register_module()
class InstanceFCN(PyramidDetector):
    """InstanceFCN as a class-agnostic segmenter of mmdet.

    It trains on whole images: one scale of the pyramid drawn for each, such as by mmdet's `RandomChoiceResize`.

    `test_cfg` is `PyramidDetector`'s, and: `shorter_sides`, the shorter side of each scale in pixels; `longest_side`,
    the limit of the longer one.

    Args:
        backbone: any of mmdet's whose first output has stride 8.
        mask_head: an `InstanceFCNHead`.
    """

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList, **kwargs: Any) -> dict[str, Tensor]:
        """The head's losses, each image's without its padding; the images' mean."""
        maps, objectness = self.mask_head(self.features(batch_inputs))
        losses = []
        for row, sample in enumerate(batch_data_samples):
            height, width = (-(-side // STRIDE) for side in sample.img_shape[:2])
            own = maps[row, :, :height, :width], objectness[row, :height, :width]
            boxes = as_tensor(sample.gt_instances.bboxes).to(maps)
            masks = reduce(sample.gt_instances, (height, width), maps.device)
            crowds = reduce(sample.get('ignored_instances'), (height, width), maps.device).any(0)
            losses.append(torch.stack(self.mask_head.loss(*own, boxes, masks, crowds)))
        score_loss, mask_loss = torch.stack(losses).mean(0)
        return {'loss_objectness': score_loss, 'loss_mask': mask_loss}

    def sizes(self, size: Size) -> list[Size]:
        cfg = self.test_cfg
        longest = cfg.longest_side / max(size)
        return [scaled_by(size, min(side / min(size), longest)) for side in cfg.shorter_sides]

    def level(self, image: Tensor) -> Level:
        """One window is centred on every feature."""
        maps, objectness = self.mask_head(self.features(image))
        y, x = torch.meshgrid(*(torch.arange(side) for side in objectness.shape[-2:]), indexing='ij')
        centres = (torch.stack([x, y], 2).reshape(-1, 2).to(image.device, torch.float32) + 0.5) * STRIDE
        half = self.mask_head.window * STRIDE / 2
        windows = torch.cat([centres - half, centres + half], 1)
        return Level(objectness.flatten().sigmoid(), windows, functools.partial(self.mask_head.masks_at, maps))

    def features(self, pixels: Tensor) -> Tensor:
        """The trunk's features, float (B, C, h, w). Raises ValueError where they do not have stride 8."""
        x: Tensor = self.extract_feat(pixels)[0]
        expected = tuple(-(-side // STRIDE) for side in pixels.shape[-2:])
        if tuple(x.shape[-2:]) != expected:
            raise ValueError(
                f'the trunk turns {tuple(pixels.shape[-2:])} pixels into {tuple(x.shape[-2:])} features; InstanceFCN '
                f'needs {expected}, those of stride {STRIDE}: choose them with strides, dilations and out_indices of '
                'the backbone'
            )
        return x


def as_tensor(boxes: Any) -> Tensor:
    """mmdet's boxes, a tensor or an object that holds one, as a tensor (N, 4)."""
    found: Tensor = getattr(boxes, 'tensor', boxes)
    return found


def reduce(instances: Any, size: Size, device: torch.device) -> Tensor:
    """The masks of mmdet's instances, or of None, at the features' size: bool (N, h, w), true where at least half of
    a feature's 8 x 8 pixels are."""
    if instances is None or not len(instances):
        return torch.zeros(0, *size, dtype=torch.bool, device=device)
    masks = instances.masks.to_tensor(torch.uint8, device)[:, : size[0] * STRIDE, : size[1] * STRIDE]
    below, right = size[0] * STRIDE - masks.shape[1], size[1] * STRIDE - masks.shape[2]
    masks = F.pad(masks, (0, right, 0, below))
    return torch.stack([F.avg_pool2d(mask[None].float(), STRIDE)[0] >= 0.5 for mask in masks])
