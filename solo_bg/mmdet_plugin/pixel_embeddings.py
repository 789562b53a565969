"""Pixel embeddings (Fathi et al. 2017, https://arxiv.org/abs/1703.10277) as a detector of mmdet.

A fully convolutional network gives each pixel an embedding. Pixels with similar embeddings belong together, so an
instance is what is similar enough to a seed. The network also says, for each pixel and each of some thresholds of the
similarity, the class of the mask that grows from there; where it is sure, there is a good seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from solo_bg.core.instances import Instances
from solo_bg.mmdet_plugin.embedding_loss import (
    choose_samples,
    class_loss,
    owners_of,
    pair_loss,
    seed_labels,
)
from solo_bg.mmdet_plugin.proposals import as_result
from solo_bg.mmdet_plugin.seeds import choose_seeds, distinct, signed, similarity_maps
from solo_bg.solo.to_image import ToImage

CELL = 4  # pixels of the input for each of `ToImage`'s canvas


class Seeds(NamedTuple):
    """Pixels from which masks grow, best score first.

    Attributes:
        positions: int64 (n,), in the flattened feature map.
        soft: float32 (n, h, w), `signed` of the similarity to the seed; the mask is where this is at least 0.
        labels: int64 (n,).
        scores: float32 (n,), in 0..1.
    """

    positions: Tensor
    soft: Tensor
    labels: Tensor
    scores: Tensor


@MODELS.register_module()
class PixelEmbeddings(SingleStageInstanceSegmentor):
    """A detector of a `backbone`, a `neck` if need be, and `mask_head=dict(type='EmbeddingHead', ...)`.

    Predictions hold `scores`, `labels`, `bboxes` (the smallest boxes around the masks) and `masks`, a list of COCO's
    RLEs.
    """


@MODELS.register_module()
class EmbeddingHead(BaseModule):
    """Embeddings and classes of all pixels, at the size of the finest feature map.

    Args:
        num_classes: number of classes, without background.
        in_channels: of each feature map, the finest first. They are brought to one size and summed.
        channels: width of the layers.
        dimensions: of an embedding.
        thresholds: similarities at which a mask ends.
        samples: pixels of each instance, and of the background, that are compared in training; as many are tried as
            seeds.
        class_weight: weight of the loss of the classes. It rises from 0 during the first `ramp` steps, while the masks
            that the classes are about are still those of random embeddings.
        test_cfg: `score_thr`, seeds must score higher; `alpha`, how much distance to the chosen seeds counts beside the
            score; `max_per_img`; `iou_thr`, a mask is left out if its IoU with a better one is greater.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        channels: int = 128,
        dimensions: int = 64,
        thresholds: Sequence[float] = (0.25, 0.5, 0.75, 0.9),
        samples: int = 10,
        class_weight: float = 0.2,
        ramp: int = 500,
        train_cfg: ConfigDict | None = None,
        test_cfg: ConfigDict | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if not thresholds or not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f'thresholds must be numbers between 0 and 1, got {thresholds}')
        self.num_classes, self.thresholds, self.samples = num_classes, tuple(thresholds), samples
        self.class_weight, self.ramp, self.test_cfg = class_weight, ramp, test_cfg
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.embed = nn.Conv2d(channels, dimensions, 1)
        self.classify = nn.Conv2d(channels, len(self.thresholds) * (num_classes + 1), 1)
        self.register_buffer('steps', torch.zeros((), dtype=torch.int64))  # of training; a resumed one goes on

    def forward(self, x: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Feature maps, float (B, C, h, w) each -> embeddings, float32 (B, D, h, w), and logits of the classes, float32
        (B, thresholds, C + 1, h, w)."""
        parts = [lateral(one) for lateral, one in zip(self.laterals, x, strict=True)]
        size = parts[0].shape[-2:]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined + F.interpolate(part, size, mode='bilinear', align_corners=False)
        features = self.smooth(joined)
        logits = self.classify(features).unflatten(1, (len(self.thresholds), self.num_classes + 1))
        return self.embed(features).float(), logits.float()

    # ---- training

    def loss(self, x: Sequence[Tensor], batch_data_samples: SampleList, **kwargs: Any) -> dict[str, Tensor]:
        """`loss_embedding`, and `loss_class` times its present weight; each the mean over the images."""
        embeddings, logits = self(x)
        with torch.autocast(logits.device.type, enabled=False):  # bfloat16 cannot count pixels
            losses = [
                self.loss_of_image(*one)
                for one in zip(embeddings, logits, *unpack_gt_instances(batch_data_samples), strict=True)
            ]
        pairs, classes = (torch.stack(one).mean() for one in zip(*losses, strict=True))
        weight = self.class_weight * min(1.0, float(self.steps) / max(self.ramp, 1))
        self.steps += 1
        return {'loss_embedding': pairs, 'loss_class': weight * classes}

    def loss_of_image(
        self,
        embedding: Tensor,
        logits: Tensor,
        wanted: InstanceData,
        crowds: InstanceData | None,
        meta: dict[str, Any],
    ) -> tuple[Tensor, Tensor]:
        """The losses of the embeddings and of the classes."""
        owners = owners_of(
            wanted.masks,
            None if crowds is None else crowds.masks,
            tuple(meta['img_shape'][:2]),
            tuple(meta['batch_input_shape']),
            (embedding.shape[-2], embedding.shape[-1]),
            embedding.device,
        )
        chosen = choose_samples(owners, self.samples)
        if not len(chosen):  # a crowd region covers the image
            return embedding.sum() * 0, logits.sum() * 0
        aims = seed_labels(embedding, owners, chosen, wanted.labels, self.thresholds, self.num_classes)
        pairs = pair_loss(embedding.flatten(1).T[chosen], owners.flatten()[chosen])
        return pairs, class_loss(logits, chosen, aims)

    # ---- prediction

    def predict(
        self, x: Sequence[Tensor], batch_data_samples: SampleList, rescale: bool = True, **kwargs: Any
    ) -> list[InstanceData]:
        metas = [sample.metainfo for sample in batch_data_samples]
        embeddings, logits = self(x)
        with torch.autocast(logits.device.type, enabled=False):
            return [as_result(self.find(*one, rescale)) for one in zip(embeddings, logits, metas, strict=True)]

    @torch.no_grad()
    def find(self, embedding: Tensor, logits: Tensor, meta: dict[str, Any], rescale: bool = True) -> Instances:
        """The instances of one image, best score first. Masks without pixels are left out.

        Args:
            embedding: float32 (D, h, w).
            logits: float32 (thresholds, C + 1, h, w).
            meta: `img_shape`, `batch_input_shape` and `ori_shape`, heights and widths.
        """
        cut, (height, width) = tuple(meta['img_shape'][:2]), meta['batch_input_shape']
        size = tuple(meta['ori_shape'][:2]) if rescale else cut
        seeds = self.find_seeds(embedding, logits, meta)
        if not len(seeds.scores):
            return Instances.empty(size, device=embedding.device)
        canvas = -(-height // CELL), -(-width // CELL)
        soft = F.interpolate(seeds.soft[None], canvas, mode='bilinear', align_corners=False)[0]
        boxes, crops = ToImage(canvas, cut, size, soft.device)(soft, -1e-6)
        rows = [row for row, box in enumerate(boxes.tolist()) if box[2] > box[0]]
        return Instances.from_crops(boxes[rows], crops.choose(rows), size, seeds.labels[rows], seeds.scores[rows])

    def find_seeds(self, embedding: Tensor, logits: Tensor, meta: dict[str, Any]) -> Seeds:
        """The seeds of one image whose masks are no repetitions. Arguments are those of `find`."""
        (height, width), canvas, cut = embedding.shape[-2:], meta['batch_input_shape'], meta['img_shape']
        rows, columns = -(-cut[0] * height // canvas[0]), -(-cut[1] * width // canvas[1])
        scores = logits.softmax(1)[:, :-1, :rows, :columns]  # (thresholds, C, rows, columns)
        seediness, best = scores.flatten(0, 1).max(0)
        inside = embedding[:, :rows, :columns].flatten(1)
        cfg: Any = self.test_cfg
        chosen = choose_seeds(inside, seediness.flatten(), cfg.max_per_img, cfg.alpha, cfg.score_thr)
        found, order = seediness.flatten()[chosen].sort(descending=True, stable=True)
        chosen = chosen[order]
        levels = embedding.new_tensor(self.thresholds)[best.flatten()[chosen] // self.num_classes]
        positions = chosen // columns * width + chosen % columns
        soft = signed(similarity_maps(embedding, positions), levels[:, None, None])
        keep = distinct(soft[:, :rows, :columns] >= 0, cfg.iou_thr)
        labels = best.flatten()[chosen] % self.num_classes
        return Seeds(positions[keep], soft[keep], labels[keep], found[keep])
