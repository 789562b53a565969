"""Convert other libraries' results to `Instances`. They are recognised by their attributes; mmdet is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solo_bg.core.crops import PACKED_FROM, Crops, Packed
from solo_bg.core.detections import names_of_detections, read_detections
from solo_bg.core.instances import Instances
from solo_bg.core.masks import boxes_of, resize_masks


def as_instances(result: Any, size: Sequence[int], class_names: Sequence[str] = ()) -> Instances:
    """Turn one image's result into `Instances` of an image of height and width `size`.

    Args:
        result: `Instances`; the original SOLO's `[(masks, labels, scores)]`, `None` or `[None]` (no instances);
            mmdet 3's `DetDataSample` or `InstanceData`; mmdet 2's `(bbox_results, segm_results)`, a list of arrays
            (n, 5) and a list of masks per class, each an array (H, W) or COCO's RLE; supervision's `Detections` with
            masks, whose class names are read, where a missing score counts as 1 and a missing class as 0.
        size: masks of another size are resized to it (bilinear, > 0.5).
        class_names: names of all classes. `Instances` that have names keep theirs.

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
            return result if result.class_names or not class_names else result.named(class_names)
        parts = result.masks, result.labels, result.scores
        class_names = result.class_names or class_names
    elif hasattr(result, 'xyxy') and hasattr(result, 'class_id'):
        parts = read_detections(result)
        class_names = class_names or names_of_detections(result)
    elif hasattr(result, 'masks') and hasattr(result, 'scores'):
        parts = result.masks, result.labels, result.scores
    elif isinstance(result, tuple) and len(result) == 3:
        parts = result
    elif isinstance(result, tuple) and len(result) == 2:
        parts = flatten_classes(*result)
    else:
        raise TypeError(
            f'cannot read a result of type {type(result).__name__}; expected Instances, [(masks, labels, scores)], '
            'None, a DetDataSample, an InstanceData, Detections or (bbox_results, segm_results)'
        )
    masks, labels, scores = parts
    codes = codes_of_size(masks, size)
    if codes:
        boxes, crops = read_codes(codes)
        return Instances.from_crops(
            boxes, crops, size, torch.as_tensor(labels).long().cpu(), torch.as_tensor(scores).float().cpu(), class_names
        )
    masks = stack_masks(masks, size)
    device = masks.device
    return Instances(
        resize_masks(masks, size),
        torch.as_tensor(labels, device=device).long(),
        torch.as_tensor(scores, device=device).float(),
        class_names,
    )


def flatten_classes(bbox_results: Sequence[Any], segm_results: Any) -> tuple[list[Any], Tensor, Tensor]:
    """Turn mmdet 2's lists, one for each class, into masks, labels and scores."""
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
    """A tensor, an array, or a list of arrays or RLEs -> bool (N, h, w); an empty list -> (0, H, W) of `size`."""
    if isinstance(masks, Tensor):
        return masks if masks.dtype == torch.bool else masks > 0.5
    if len(masks) == 0:
        return torch.zeros(0, *size, dtype=torch.bool)
    if isinstance(masks[0], dict):
        masks = [decode(mask) for mask in masks]
    return torch.from_numpy(np.stack([np.asarray(mask) for mask in masks]) > 0.5)


def codes_of_size(masks: Any, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The masks as they are, if they are COCO's RLEs, all of images of this height and width; else none."""
    if not isinstance(masks, (list, tuple)) or not all(isinstance(mask, dict) for mask in masks):
        return []
    return list(masks) if all(tuple(mask['size']) == size for mask in masks) else []


def read_codes(codes: Sequence[dict[str, Any]]) -> tuple[Tensor, Crops]:
    """COCO's RLEs -> boxes, int64 (N, 4), and crops. Decodes one mask at a time."""
    boxes, crops = [], []
    for code in codes:
        mask = torch.from_numpy(decode(code)).bool().contiguous()
        (box,) = boxes_of(mask[None])
        x0, y0, x1, y1 = box.tolist()
        crop = mask[y0:y1, x0:x1].contiguous()  # a view would keep the whole mask in memory
        boxes.append(box)
        crops.append(crop if crop.numel() < PACKED_FROM else Packed.of(crop))
    return torch.stack(boxes), Crops(crops)


def decode(code: dict[str, Any]) -> Any:
    """The mask of one of COCO's RLEs, compressed or not: uint8 (H, W)."""
    from pycocotools import mask as rle

    return rle.decode(code if isinstance(code['counts'], (str, bytes)) else rle.frPyObjects(code, *code['size']))
