"""`Instances` out of every form of result that people hold. Recognised by shape, so that mmdet need not be imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.masks import resize_masks


def as_instances(result: Any, size: Sequence[int], class_names: Sequence[str] = ()) -> Instances:
    """One image's result as `Instances` of an image of height and width `size`.

    Args:
        result: `Instances`; the original SOLO's `[(masks, labels, scores)]`, `None` or `[None]` (no instances);
            mmdet 3's `DetDataSample` or `InstanceData`; mmdet 2's `(bbox_results, segm_results)`, a list of arrays
            (n, 5) and a list of masks per class, each an array (H, W) or COCO's RLE.
        size: masks of another size are resized to it (bilinear, > 0.5).
        class_names: of all classes. `Instances` that have names keep theirs.

    Raises:
        TypeError: the result has none of these forms.
    """
    size = (size[0], size[1])
    parts: tuple[Any, Any, Any]
    if isinstance(result, list) and len(result) == 1:  # the original SOLO: a list over the images of a batch of one
        result = result[0]
    result = getattr(result, 'pred_instances', result)
    if result is None:
        return Instances.empty(size, class_names)
    if isinstance(result, Instances):
        if result.size == size:
            return result if result.class_names or not class_names else named(result, class_names)
        parts = result.masks, result.labels, result.scores
        class_names = result.class_names or class_names
    elif hasattr(result, 'masks') and hasattr(result, 'scores'):
        parts = result.masks, result.labels, result.scores
    elif isinstance(result, tuple) and len(result) == 3:
        parts = result
    elif isinstance(result, tuple) and len(result) == 2:
        parts = flatten_classes(*result)
    else:
        raise TypeError(
            f'cannot read a result of type {type(result).__name__}; expected Instances, [(masks, labels, scores)], '
            'None, a DetDataSample, an InstanceData or (bbox_results, segm_results)'
        )
    masks, labels, scores = parts
    masks = stack_masks(masks, size)
    device = masks.device
    return Instances(
        resize_masks(masks, size),
        torch.as_tensor(labels, device=device).long(),
        torch.as_tensor(scores, device=device).float(),
        class_names,
    )


def named(instances: Instances, class_names: Sequence[str]) -> Instances:
    """The same instances, their labels named."""
    renamed = Instances.from_crops(
        instances.boxes, instances.crops, instances.size, instances.labels, instances.scores, class_names
    )
    renamed.alpha, renamed.margin = instances.alpha, instances.margin
    return renamed


def flatten_classes(bbox_results: Sequence[Any], segm_results: Any) -> tuple[list[Any], Tensor, Tensor]:
    """mmdet 2's lists per class as masks, labels and scores, class after class."""
    if isinstance(segm_results, tuple):  # Mask Scoring R-CNN: masks and their own scores
        segm_results = segm_results[0]
    counts = [len(boxes) for boxes in bbox_results]
    if counts != [len(masks) for masks in segm_results]:
        raise TypeError('bbox_results and segm_results differ in length; expected one mask for each box of each class')
    masks = [mask for of_class in segm_results for mask in of_class]
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts, dtype=torch.int64))
    boxes = np.concatenate([np.asarray(boxes, np.float32).reshape(-1, 5) for boxes in bbox_results])
    return masks, labels, torch.from_numpy(boxes[:, 4].copy())


def stack_masks(masks: Any, size: tuple[int, int]) -> Tensor:
    """Masks as a tensor, an array, or a list of arrays or RLEs -> bool (N, h, w); none -> (0, H, W) of `size`."""
    if isinstance(masks, Tensor):
        return masks if masks.dtype == torch.bool else masks > 0.5
    if len(masks) == 0:
        return torch.zeros(0, *size, dtype=torch.bool)
    if isinstance(masks[0], dict):
        from pycocotools import mask as rle

        masks = [
            rle.decode(mask if isinstance(mask['counts'], (str, bytes)) else rle.frPyObjects(mask, *mask['size']))
            for mask in masks
        ]
    return torch.from_numpy(np.stack([np.asarray(mask) for mask in masks]) > 0.5)
