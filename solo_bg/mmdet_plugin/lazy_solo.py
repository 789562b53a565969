"""SOLO heads that predict lazily: mmdet's weights and results in a fraction of the time and the memory.

mmdet computes the masks of all grid cells (3,872 in the standard configs) and then keeps a few of them. These heads run
the category branch first, and compute only the masks of the cells that pass its threshold. A level where no cell passes
is skipped, with all its mask convolutions. Training is mmdet's own.

They know one setting more than mmdet's heads: with `test_cfg=dict(nms_across_classes=True)` matrix NMS lets a mask
lower the scores of masks of all classes, not only of its own. Then one object gets one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import DecoupledSOLOHead, DecoupledSOLOLightHead, SOLOHead
from mmdet.models.utils import generate_coordinate
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from solo_bg.core.instances import Instances
from solo_bg.errors import NotFiniteError
from solo_bg.solo import decode
from solo_bg.solo.decode import SoftMasks
from solo_bg.solo.soft_masks import CellMasks, ProductMasks, ScaledMasks, Size, to_canvas
from solo_bg.solo.to_image import ToImage


@MODELS.register_module()
class LazySOLOHead(SOLOHead):
    """mmdet's `SOLOHead`, predicting lazily.

    The other heads differ in `mask_maps`, the mask branch without its last convolution, in `soft_masks`, that last
    convolution for some cells, and in `mask_factor`.

    Attributes:
        halved: the neck gives the finest feature map at half its size already (`optimise.fold_halving`).
    """

    halved = False

    def predict(self, x: tuple[Tensor, ...], batch_data_samples: SampleList, **kwargs: Any) -> list[InstanceData]:
        """Predict as mmdet's heads do: scores, labels, dense masks, and also boxes, which mmdet leaves at zero."""
        found = self.find(x, [sample.metainfo for sample in batch_data_samples])
        return [
            InstanceData(scores=one.scores, labels=one.labels, masks=one.masks, bboxes=one.boxes.float())
            for one in found
        ]

    @torch.no_grad()
    def find(
        self, x: tuple[Tensor, ...], metas: Sequence[dict[str, Any]], class_names: Sequence[str] = ()
    ) -> list[Instances]:
        """The instances of each image of a batch.

        Args:
            x: the neck's feature maps, float (B, C, h, w) each, the finest first.
            metas: for each image `img_shape`, its height and width in the batch without the padding, and `ori_shape`,
                its own height and width.
            class_names: the names of all classes, for the `Instances`.

        Returns:
            one `Instances` for each image, best score first, with masks of the image's own size.

        Raises:
            NotFiniteError: a score or a mask holds NaN or infinity.
        """
        feats = self.resize_feats(x)
        canvas = (2 * feats[0].shape[-2], 2 * feats[0].shape[-1])
        scores = torch.cat([self.score_cells(feat, grid) for feat, grid in zip(feats, self.num_grids, strict=True)], 1)
        if not torch.isfinite(scores).all():
            raise NotFiniteError('the scores hold NaN or infinity: broken weights, or a precision that overflows')
        passing = scores > self.test_cfg.score_thr
        parts: list[list[SoftMasks]] = [[] for _ in metas]
        cells = self.split_cells(passing.any(2))
        factor = self.mask_factor(x, canvas)
        for level, feat in enumerate(feats):
            images = [image for image, own in enumerate(cells) if len(own[level])]
            if images:
                maps = self.mask_maps(feat[images] if len(images) < len(feat) else feat)
                for index, image in enumerate(images):
                    of_image = [one[index : index + 1] for one in maps]
                    masks = self.soft_masks(of_image, level, cells[image][level], canvas)
                    parts[image].append(masks if factor is None else ScaledMasks(masks, factor[image]))
        with torch.autocast(scores.device.type, enabled=False):
            return [
                self.decode(scores[image], passing[image], parts[image], canvas, meta, class_names)
                for image, meta in enumerate(metas)
            ]

    def split_cells(self, needed: Tensor) -> list[list[Tensor]]:
        """bool (B, cells) -> for each image and level the needed cells, int64 (k,), numbered within the level.

        Waits for the device twice, for any number of images and levels.
        """
        sizes = [grid**2 for grid in self.num_grids]
        counts = torch.stack([of_level.sum(1) for of_level in torch.split(needed, sizes, 1)], 1)  # (B, levels)
        chosen = iter(torch.split(needed.nonzero()[:, 1], counts.flatten().tolist()))  # image after image
        starts = [sum(sizes[:level]) for level in range(len(sizes))]
        return [[next(chosen) - start for start in starts] for _ in needed]

    def resize_feats(self, x: tuple[Tensor, ...]) -> list[Tensor]:
        """Bring the feature maps to mmdet's sizes. A finest map that the neck has halved already stays as it is."""
        if not self.halved:
            return super().resize_feats(x)
        return [*x[:-1], F.interpolate(x[-1], size=x[-2].shape[-2:], mode='bilinear')]

    def score_cells(self, feat: Tensor, grid: int) -> Tensor:
        """The category branch of one level: float32 (B, grid * grid, classes); 0 where a neighbour scores higher."""
        for index, layer in enumerate(self.cls_convs):
            if index == self.cls_down_index:
                feat = F.interpolate(feat, size=grid, mode='bilinear')
            feat = layer(feat)
        logits = self.conv_cls(feat).float()
        scores = logits.sigmoid()
        peak = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1] == scores
        return (scores * peak + 0 * logits).flatten(2).permute(0, 2, 1)  # makes infinite logits NaN, too

    def mask_factor(self, x: tuple[Tensor, ...], canvas: Size) -> Tensor | None:
        """What all soft masks of an image are multiplied by, float32 (B, 1, *canvas); None for 1."""
        return None

    def mask_maps(self, feat: Tensor) -> list[Tensor]:
        return [convolve(self.mask_convs, feat, generate_coordinate(feat.shape, feat.device))]

    def soft_masks(self, maps: list[Tensor], level: int, cells: Tensor, canvas: Size) -> SoftMasks:
        """The last convolution for some cells. It is 1x1, so each cell is a row of it, and upsampling may follow it."""
        last = self.conv_mask_list[level]
        return CellMasks(F.conv2d(maps[0], last.weight[cells], last.bias[cells]).float()[0], canvas)

    def decode(
        self,
        scores: Tensor,
        passing: Tensor,
        parts: list[SoftMasks],
        canvas: Size,
        meta: dict[str, Any],
        class_names: Sequence[str],
    ) -> Instances:
        """The instances of one image.

        Args:
            scores: float32 (cells, classes).
            passing: bool (cells, classes), which of them pass the threshold.
            parts: the soft masks of the cells that pass, level after level.
            canvas: height and width of the soft masks.
        """
        cfg, size = self.test_cfg, tuple(meta['ori_shape'][:2])
        if not parts:
            return Instances.empty(size, class_names, scores.device)
        cells, labels = passing.nonzero().T  # a candidate is a cell and a class; candidates of one cell share its mask
        rows = passing.any(1).cumsum(0)[cells] - 1
        measured = decode.measure(parts, canvas, cfg.mask_thr, scores.device)
        if not torch.isfinite(measured.maskness).all():
            raise NotFiniteError('the masks hold NaN or infinity: broken weights, or a precision that overflows')
        keep = (measured.areas[rows] > self.strides_of_cells(scores.device)[cells]).nonzero()[:, 0]
        cells, labels, rows = cells[keep], labels[keep], rows[keep]

        scores, order = (scores[cells, labels] * measured.maskness[rows]).sort(descending=True, stable=True)
        best = slice(cfg.nms_pre if cfg.nms_pre > 0 else None)
        scores, labels, rows = scores[best], labels[order[best]], rows[order[best]]
        groups = torch.zeros_like(labels) if cfg.get('nms_across_classes', False) else labels
        scores = scores * decode.matrix_nms(measured, rows, groups, cfg.kernel, cfg.sigma)
        if cfg.filter_thr > 0:
            keep = (scores >= cfg.filter_thr).nonzero()[:, 0]
            scores, labels, rows = scores[keep], labels[keep], rows[keep]
        scores, order = scores.sort(descending=True, stable=True)
        best = slice(cfg.max_per_img if cfg.max_per_img > 0 else None)
        scores, labels, rows = scores[best], labels[order[best]], rows[order[best]]

        to_image = ToImage(canvas, tuple(meta['img_shape'][:2]), size, scores.device)
        boxes, crops = to_image(decode.render(parts, rows, canvas), cfg.mask_thr)
        return Instances.from_crops(boxes, crops, size, labels, scores, class_names)

    def strides_of_cells(self, device: torch.device) -> Tensor:
        """The stride of each cell's level, int64 (cells,). The area of its mask must be larger."""
        counts = torch.tensor([grid**2 for grid in self.num_grids])
        return torch.tensor(self.strides).repeat_interleave(counts).to(device, non_blocking=True)


@MODELS.register_module()
class LazyDecoupledSOLOHead(LazySOLOHead, DecoupledSOLOHead):
    """mmdet's `DecoupledSOLOHead`, predicting lazily."""

    def mask_maps(self, feat: Tensor) -> list[Tensor]:
        x, y = generate_coordinate(feat.shape, feat.device).split(1, 1)
        return [convolve(self.mask_convs_x, feat, x), convolve(self.mask_convs_y, feat, y)]

    def soft_masks(self, maps: list[Tensor], level: int, cells: Tensor, canvas: Size) -> SoftMasks:
        """A cell's mask is the product of its column's map and its row's map. Only maps that a cell needs are
        computed."""
        maps = [F.interpolate(one, scale_factor=2, mode='bilinear') for one in maps]
        grid = self.num_grids[level]
        sides, indices = [], []
        for one, last, of_cells in (
            (maps[0], self.conv_mask_list_x[level], cells % grid),
            (maps[-1], self.conv_mask_list_y[level], cells // grid),
        ):
            used, index = of_cells.unique(return_inverse=True)
            logits = F.conv2d(one, last.weight[used], last.bias[used], padding=last.padding)
            sides.append(to_canvas(logits.float(), canvas))
            indices.append(index)
        return ProductMasks(*sides, *indices)


@MODELS.register_module()
class LazyDecoupledSOLOLightHead(LazyDecoupledSOLOHead, DecoupledSOLOLightHead):
    """mmdet's `DecoupledSOLOLightHead`, predicting lazily. Columns and rows share their convolutions."""

    def mask_maps(self, feat: Tensor) -> list[Tensor]:
        return [convolve(self.mask_convs, feat, generate_coordinate(feat.shape, feat.device))]


def convolve(layers: nn.ModuleList, feat: Tensor, coordinates: Tensor) -> Tensor:
    """Apply a mask branch to a feature map and its coordinates, float (B, c, h, w) each."""
    layout = torch.channels_last if feat.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    feat = torch.cat([feat, coordinates.to(feat.dtype).contiguous(memory_format=layout)], 1)
    for layer in layers:
        feat = layer(feat)
    return feat
