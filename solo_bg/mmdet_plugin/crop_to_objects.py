"""Crop an image to its annotated objects, for data sets in which only some objects are annotated."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropToObjects(BaseTransform):
    """Crop to the box around the annotated objects and a random margin.

    Little of what nobody annotated is left then.

    Put it right after `LoadAnnotations(with_bbox=True, with_mask=True)`. Crowd regions are removed: what remains of
    them counts as background. An image without objects is not changed.

    Args:
        least, most: smallest and largest margin, as shares of the box's sides; drawn for each side from NumPy's
            generator, as mmdet's transforms do.
    """

    def __init__(self, least: float = 0.05, most: float = 0.3) -> None:
        if not 0 <= least <= most:
            raise ValueError(f'margins must be 0 <= least <= most, got {least} and {most}')
        self.least, self.most = least, most

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        objects = np.flatnonzero(~results['gt_ignore_flags'].astype(bool))
        if not len(objects):
            return results
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks'):
            results[key] = results[key][objects]
        boxes = results['gt_bboxes'].tensor.numpy()
        height, width = results['img'].shape[:2]
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        margins = np.random.uniform(self.least, self.most, (2, 2)) * (high - low)
        x0, y0 = np.clip(np.floor(low - margins[0]), 0, (width - 1, height - 1)).astype(int)
        x1, y1 = np.clip(np.ceil(high + margins[1]), (x0 + 1, y0 + 1), (width, height)).astype(int)
        results['img'] = np.ascontiguousarray(results['img'][y0:y1, x0:x1])
        results['img_shape'] = results['img'].shape[:2]
        results['gt_masks'] = results['gt_masks'].crop(np.array([x0, y0, x1, y1]))
        results['gt_bboxes'].translate_([-x0, -y0])
        results['gt_bboxes'].clip_(results['img_shape'])
        return results
