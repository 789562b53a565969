"""DeepMask: one object's mask and a score from each window of an image (https://arxiv.org/abs/1506.06204)."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from torch import Tensor, nn

from solo_bg.mmdet_plugin.proposals import WINDOW, Level, PyramidDetector, Size, scaled_by

STRIDE = 16
CELLS = WINDOW // STRIDE  # of a window's features along one side
SIDE = 56  # of a mask
SCORE_WEIGHT = 1 / 32
CHUNK = 64  # windows whose masks are computed at once


@MODELS.register_module()
class DeepMaskHead(BaseModule):
    """The two branches of DeepMask on the features of stride 16.

    Both see the 14 x 14 features of a window of 224 pixels. The mask branch: a 1 x 1 convolution, a linear layer of a
    low rank, a linear layer that gives 56 x 56 logits. The score branch: max pooling of 2 x 2, then three linear
    layers, dropout after the first two. The linear layers on features are convolutions as large as the window, so that
    the score branch gives the scores of all windows of an image in one call.

    Args:
        in_channels: of the features.
        feat_channels: of the mask branch's 1 x 1 convolution. The paper has 512 on VGG's features.
        rank: of the linear layer after it.
        score_channels: of the score branch's first two linear layers.
        dropout: probability.
        num_classes: 1, as masks of any class are found.
    """

    def __init__(
        self,
        in_channels: int,
        feat_channels: int = 512,
        rank: int = 512,
        score_channels: tuple[int, int] = (512, 1024),
        dropout: float = 0.5,
        num_classes: int = 1,
        train_cfg: Any = None,
        test_cfg: Any = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.mask_features = nn.Sequential(nn.Conv2d(in_channels, feat_channels, 1), nn.ReLU(inplace=True))
        self.low_rank = nn.Conv2d(feat_channels, rank, CELLS)
        self.mask_logits = nn.Linear(rank, SIDE**2)
        first, second = score_channels
        self.score = nn.Sequential(
            # Windows at odd positions pool other pairs than those at even ones. With stride 1 and a convolution that
            # takes every second value, each window gets its own pairs.
            nn.MaxPool2d(2, stride=1),
            nn.Conv2d(in_channels, first, CELLS // 2, dilation=2),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(first, second, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(second, 1, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """float (B, C, h, w) -> the scores' logits of all windows, (B, h - 13, w - 13), and the features that `masks`
        takes, (B, feat_channels, h, w)."""
        return self.score(x)[:, 0].float(), self.mask_features(x)

    def masks(self, features: Tensor) -> Tensor:
        """The mask branch's features of some windows, float (k, feat_channels, 14, 14) -> logits (k, 56, 56)."""
        return self.mask_logits(self.low_rank(features).flatten(1)).float().view(-1, SIDE, SIDE)

    def masks_at(self, features: Tensor, rows: Tensor) -> Tensor:
        """The soft masks of some windows of an image.

        Args:
            features: float (1, feat_channels, h, w).
            rows: int64 (k,), the windows' numbers in the order of the scores.

        Returns:
            float32 (k, 56, 56), in 0..1.
        """
        windows = features[0].unfold(1, CELLS, 1).unfold(2, CELLS, 1)  # (C, h - 13, w - 13, 14, 14), a view
        found = [features.new_zeros(0, SIDE, SIDE, dtype=torch.float32)]
        for some in torch.split(rows, CHUNK):
            y, x = some // windows.shape[2], some % windows.shape[2]
            if len(some):
                found.append(self.masks(windows[:, y, x].transpose(0, 1).contiguous()).sigmoid())
        return torch.cat(found)


@MODELS.register_module()
class DeepMask(PyramidDetector):
    """DeepMask as a class-agnostic segmenter of mmdet.

    Training takes windows that `CutTriplet` cuts out: a window with an instance is a positive example, one without a
    negative one. In an image, it looks at a window of 224 pixels every 16 pixels, in several scales.

    `test_cfg` is `PyramidDetector`'s, and `scales`, factors of the input's size; with `zoom=True`, one more that is
    larger than the last by the square root of 2, for small objects.

    Args:
        backbone: any of mmdet's whose first output has stride 16, such as the first three stages of a ResNet.
        mask_head: a `DeepMaskHead`.
        margin: pixels around a window of 224 that the trunk sees as well, a multiple of 16. In an image, its features
            know what is around a window; in training they know as much with a margin.
    """

    def __init__(self, *args: Any, margin: int = 16, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if margin < 0 or margin % STRIDE:
            raise ValueError(f'margin must be a multiple of {STRIDE}, got {margin}')
        self.margin = margin

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList, **kwargs: Any) -> dict[str, Tensor]:
        """`deepmask_loss` of a batch of windows, each with its margin."""
        side = WINDOW + 2 * self.margin
        if tuple(batch_inputs.shape[-2:]) != (side, side):
            height, width = batch_inputs.shape[-2:]
            raise ValueError(
                f'DeepMask is trained on windows of {side}x{side} pixels, got {width}x{height}; put '
                f"dict(type='CutTriplet', margin={self.margin}) before PackDetInputs in the training pipeline"
            )
        scores, features = self.mask_head(self.features(batch_inputs, (1, 1)))
        positive = torch.tensor([len(sample.gt_instances) > 0 for sample in batch_data_samples], device=scores.device)
        targets = [mask_in_window(sample, self.margin) for sample in batch_data_samples if len(sample.gt_instances)]
        target = torch.stack(targets) if targets else torch.zeros(0, SIDE, SIDE, dtype=torch.bool)
        mask_loss, score_loss = deepmask_loss(
            self.mask_head.masks(features[positive]), target.to(scores.device), scores[:, 0, 0], positive
        )
        return {'loss_mask': mask_loss, 'loss_score': score_loss}

    def sizes(self, size: Size) -> list[Size]:
        scales = list(self.test_cfg.scales)
        if self.test_cfg.get('zoom'):
            scales.append(scales[-1] * 2**0.5)
        return [scaled_by(size, scale) for scale in scales]

    def level(self, image: Tensor) -> Level:
        """One window is centred on every 16th pixel, so that those at the image's edges reach beyond it by half."""
        height, width = image.shape[-2:]
        rows, columns = height // STRIDE + 1, width // STRIDE + 1
        before = WINDOW // 2 + self.margin
        whole_height, whole_width = (STRIDE * (count - 1) + WINDOW + 2 * self.margin for count in (rows, columns))
        padded = F.pad(image, (before, whole_width - width - before, before, whole_height - height - before))
        scores, features = self.mask_head(self.features(padded, (rows, columns)))
        y, x = torch.meshgrid(*(torch.arange(count) * STRIDE for count in (rows, columns)), indexing='ij')
        corners = torch.stack([x, y], 2).reshape(-1, 2).to(image.device, torch.float32) - WINDOW // 2
        windows = torch.cat([corners, corners + WINDOW], 1)
        return Level(scores.flatten().sigmoid(), windows, functools.partial(self.mask_head.masks_at, features))

    def features(self, pixels: Tensor, windows: Size) -> Tensor:
        """The trunk's features without those of the margin.

        Args:
            pixels: float (B, 3, h, w).
            windows: how many windows lie below each other and side by side.

        Raises:
            ValueError: the trunk's first output does not have stride 16.
        """
        x = self.extract_feat(pixels)[0]
        edge = self.margin // STRIDE
        expected = tuple(count - 1 + CELLS + 2 * edge for count in windows)
        if tuple(x.shape[-2:]) != expected:
            raise ValueError(
                f'the trunk turns {tuple(pixels.shape[-2:])} pixels into {tuple(x.shape[-2:])} features; DeepMask '
                f'needs {expected}, those of stride {STRIDE}: choose them with out_indices of the backbone'
            )
        return x[..., edge : expected[0] - edge, edge : expected[1] - edge]


def mask_in_window(sample: Any, margin: int) -> Tensor:
    """The mask of a positive example without the margin, reduced to 56 x 56: bool."""
    mask = torch.from_numpy(sample.gt_instances.masks.masks[:1])[:, margin : margin + WINDOW, margin : margin + WINDOW]
    return F.avg_pool2d(mask.float(), WINDOW // SIDE)[0] >= 0.5


def deepmask_loss(masks: Tensor, target: Tensor, scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the paper's loss (equation 1), each summed over the windows of a batch.

    For a window with mask `m` (1 on the object and -1 elsewhere, of w x h pixels) and label `y` (1 or -1), its loss is
    `(1 + y) / (2 w h) * sum of log(1 + exp(-m f_mask)) + log(1 + exp(-y f_score)) / 32`.

    Args:
        masks: float (P, h, w), logits of the positive windows; others have no mask loss.
        target: bool (P, h, w), their masks.
        scores: float (B,), logits of all windows.
        positive: bool (B,), P of them true.

    Returns:
        the mask term and the score term.
    """
    sign = target.to(masks.dtype) * 2 - 1
    label = positive.to(scores.dtype) * 2 - 1
    mask_loss = F.softplus(-sign * masks).sum() / (masks.shape[1] * masks.shape[2])
    return mask_loss, SCORE_WEIGHT * F.softplus(-label * scores).sum()
