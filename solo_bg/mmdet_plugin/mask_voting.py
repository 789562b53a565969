"""Mask voting: the last step of Multi-task Network Cascades, from boxes, masks and scores to instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from solo_bg.core.crops import Shelf
from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box, boxes_of
from solo_bg.mmdet_plugin.roi_warping import paste_mean
from solo_bg.solo.to_image import trim

Size = tuple[int, int]  # height and width
SIMILAR = 0.5  # boxes with at least this IoU vote together


def vote(boxes: Tensor, masks: Tensor, scores: Tensor, size: Size, cfg: Any) -> Instances:
    """Mask voting (section 4 of the paper): NMS of each class's boxes, then the mean of similar masks.

    The mask of a kept box is the mean of the masks of its class whose boxes have an IoU of at least 0.5 with it,
    weighted by their scores. Masks without pixels are left out.

    Args:
        boxes: float (N, 4), xyxy in pixels of the image.
        masks: float (N, m, m), in 0..1.
        scores: float (N, C).
        size: height and width of the image.
        cfg: `score_thr`, `iou_thr`, `max_per_img` and `mask_thr`.
    """
    rows, labels = (scores > cfg.score_thr).nonzero().T
    of_pairs = scores[rows, labels]
    nms = {'type': 'nms', 'iou_threshold': cfg.iou_thr}
    kept = batched_nms(boxes[rows], of_pairs, labels, nms)[1][: cfg.max_per_img] if len(rows) else rows
    overlaps = bbox_overlaps(boxes[rows[kept]], boxes[rows])
    similar = (overlaps >= SIMILAR) & (labels[kept][:, None] == labels)
    similar[torch.arange(len(kept), device=kept.device), kept] = True  # a box without area overlaps nothing
    outer, held = [], []
    for votes in similar:
        voters = rows[votes]
        box, mean = paste_mean(masks[voters], boxes[voters], of_pairs[votes], size)
        outer.append(box)
        held.append(mean > cfg.mask_thr)
    return cut_out(held, outer, size, labels[kept], of_pairs[kept])


def cut_out(masks: Sequence[Tensor], outer: Sequence[Box], size: Size, labels: Tensor, scores: Tensor) -> Instances:
    """Instances of masks, bool (h, w), that lie in boxes of the image; those without pixels are left out."""
    shelf = Shelf((mask.numel() for mask in masks), labels.device)
    inner = torch.cat([labels.new_zeros(0, 4), *(boxes_of(mask[None]) for mask in masks)])
    corners = torch.tensor(outer, dtype=torch.int64, device=labels.device).reshape(-1, 4)
    boxes, crops = trim([shelf.put(mask) for mask in masks], inner, corners)
    rows = [row for row, (x0, _, x1, _) in enumerate(boxes.tolist()) if x1 > x0]
    return Instances.from_crops(boxes[rows], crops.choose(rows), size, labels[rows], scores[rows])
