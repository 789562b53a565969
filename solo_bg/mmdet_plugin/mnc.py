"""Multi-task Network Cascades (Dai et al. 2016, https://arxiv.org/abs/1512.04412) as a detector of mmdet.

Three stages share the features: boxes from an RPN, one mask for each box, and the class of what the mask holds. With
five stages, the boxes that stage 3 regresses go through stages 2 and 3 again, with the same weights. RoI warping passes
the gradient of later stages on to the boxes of earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from torch import Tensor

from solo_bg.mmdet_plugin.proposals import as_result


@MODELS.register_module()
class BoxGradientRPNHead(RPNHead):
    """mmdet's `RPNHead` with boxes that can be differentiated with respect to what it predicts."""

    def boxes(self, outputs: tuple[list[Tensor], list[Tensor]], metas: Sequence[dict], cfg: Any) -> list[Tensor]:
        """The boxes of each image after NMS, float (n, 4), xyxy in pixels of the input, best score first.

        Args:
            outputs: what `forward` returns.
            metas: for each image `img_shape`, its height and width in the batch without the padding.
            cfg: `nms_pre`, `nms`, `max_per_img` and `min_bbox_size`, as mmdet's `test_cfg.rpn`.
        """
        scores, deltas = outputs
        sizes = [one.shape[-2:] for one in scores]
        anchors = self.prior_generator.grid_priors(sizes, dtype=scores[0].dtype, device=scores[0].device)
        return [
            self._predict_by_feat_single(
                [one[image] for one in scores], [one[image] for one in deltas], [None] * len(scores), anchors, meta, cfg
            ).bboxes
            for image, meta in enumerate(metas)
        ]


@MODELS.register_module()
class MNC(TwoStageDetector):
    """Multi-task Network Cascades.

    The parts are a `backbone`, a `neck` if need be, `rpn_head=dict(type='BoxGradientRPNHead', ...)` and
    `roi_head=dict(type='CascadeStages', ...)`, which uses the last of the feature maps. Predictions hold `scores`,
    `labels`, `bboxes` (the smallest boxes around the masks) and `masks`, a list of COCO's RLEs.
    """

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Any]:
        features = self.extract_feat(batch_inputs)
        wanted, ignored, metas = unpack_gt_instances(batch_data_samples)
        objects = [InstanceData(bboxes=one.bboxes, labels=torch.zeros_like(one.labels)) for one in wanted]
        outputs = self.rpn_head(features)
        losses = self.rpn_head.loss_by_feat(*outputs, objects, metas, ignored)
        boxes = self.rpn_head.boxes(outputs, metas, self.train_cfg.rpn_proposal)
        return losses | self.roi_head.loss(features[-1], boxes, batch_data_samples)

    @torch.no_grad()
    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        features = self.extract_feat(batch_inputs)
        metas = [sample.metainfo for sample in batch_data_samples]
        boxes = self.rpn_head.boxes(self.rpn_head(features), metas, self.test_cfg.rpn)
        found = self.roi_head.find(features[-1], boxes, metas, rescale)
        return self.add_pred_to_datasample(batch_data_samples, [as_result(one) for one in found])

    def _forward(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> tuple:
        features = self.extract_feat(batch_inputs)
        outputs = self.rpn_head(features)
        boxes = self.rpn_head.boxes(outputs, [sample.metainfo for sample in batch_data_samples], self.test_cfg.rpn)
        return outputs, self.roi_head.stages_of(features[-1], boxes, batch_data_samples)
