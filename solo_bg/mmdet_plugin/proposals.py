"""What window-based proposal networks share: image pyramids, windows that fit an object, and results without dense
masks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import nms
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from torch import Tensor

from solo_bg.coco.rle import encode
from solo_bg.core.crops import Crops, Shelf
from solo_bg.core.instances import Instances
from solo_bg.core.masks import boxes_of
from solo_bg.core.windows import resample
from solo_bg.errors import NotFiniteError
from solo_bg.solo.to_image import trim

# DeepMask's canonical example (section 3.2 of the paper): in a window of 224 pixels, an object whose longer side has
# 128. `shift` is in pixels of such a window; `octaves` is the binary logarithm of a size compared with 128.
WINDOW, OBJECT = 224, 128
FITTING_SHIFT, FITTING_OCTAVES = 16, 0.25
DISTANT_SHIFT, DISTANT_OCTAVES = 32, 1.0

Size = tuple[int, int]  # height and width


def compare(centres: Tensor, sides: Tensor | float, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """How square windows lie around objects.

    Args:
        centres: float (P, 2), x and y of each window's centre.
        sides: the windows' sides, float (P,) or one number.
        boxes: float (N, 4), the objects, xyxy.

    Returns:
        shift: float (P, N), the larger of the horizontal and vertical distances between the centres, in pixels of a
            window resized to 224.
        octaves: float (P, N), log2 of the object's longer side in that window divided by 128.
    """
    scale = WINDOW / torch.as_tensor(sides, dtype=centres.dtype, device=centres.device).reshape(-1, 1)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    shift = (centres[:, None] - middles).abs().amax(2) * scale
    longer = (boxes[:, 2:] - boxes[:, :2]).amax(1).clamp(min=1)
    return shift, torch.log2(longer * scale / OBJECT).expand_as(shift)


def fits(shift: Tensor, octaves: Tensor) -> Tensor:
    """bool (P, N): which windows are positive examples of which objects."""
    return (shift <= FITTING_SHIFT) & (octaves.abs() <= FITTING_OCTAVES)


def distant(shift: Tensor, octaves: Tensor) -> Tensor:
    """bool (P,): which windows are negative examples, being far from every object in place or in scale."""
    return ((shift >= DISTANT_SHIFT) | (octaves.abs() >= DISTANT_OCTAVES)).all(1)


@dataclass(frozen=True)
class Level:
    """The windows of one scale of an image.

    Attributes:
        scores: float32 (P,), in 0..1.
        windows: float32 (P, 4), xyxy in pixels of the model's input, reaching beyond it at its edges.
        masks: gives the soft masks of some windows, int64 (k,) -> float32 (k, m, m) in 0..1.
    """

    scores: Tensor
    windows: Tensor
    masks: Callable[[Tensor], Tensor]


class PyramidDetector(SingleStageInstanceSegmentor):
    """A class-agnostic segmenter that looks at each image in several scales.

    A subclass has a `mask_head` and gives the sizes of the pyramid (`sizes`) and the windows of one of them (`level`).

    `test_cfg` holds: `score_thr`, windows must score higher; `nms_pre`, the best windows of all scales together that
    get masks; `mask_thr`, from which a soft mask counts as the object; `max_per_img`; and `iou_thr`, which removes a
    mask if the smallest box around it overlaps that of a better one more than this. Without `iou_thr` all stay.

    Predictions hold `scores`, `labels` (all 0), `bboxes` (the smallest boxes around the masks) and `masks`, a list of
    COCO's RLEs, which mmdet's and this package's metrics read: 1000 dense masks would take 300 MB.
    """

    @abstractmethod
    def sizes(self, size: Size) -> list[Size]:
        """The height and width of each scale of an input of this height and width."""

    @abstractmethod
    def level(self, image: Tensor) -> Level:
        """The windows of one scale, float (1, 3, h, w), in pixels of this scale."""

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True, **kwargs: Any
    ) -> SampleList:
        """Find the objects of each image by itself, without the padding of the batch."""
        results = []
        for image, sample in zip(batch_inputs, batch_data_samples, strict=True):
            height, width = sample.img_shape[:2]
            size = tuple(sample.ori_shape[:2]) if rescale else (height, width)
            results.append(self.find(image[None, :, :height, :width], size))
        return self.add_pred_to_datasample(batch_data_samples, results)

    def find(self, image: Tensor, size: Size) -> InstanceData:
        """The objects of one input, float (1, 3, h, w), with masks of height and width `size`."""
        levels = [self.scaled_level(image, scaled) for scaled in self.sizes((image.shape[-2], image.shape[-1]))]
        cfg = self.test_cfg
        scores = finite(torch.cat([level.scores for level in levels]))
        scores, rows = scores.topk(min(cfg.nms_pre, len(scores)))
        rows, scores = rows[scores > cfg.score_thr], scores[scores > cfg.score_thr]
        masks = finite(masks_of(levels, rows))
        windows = torch.cat([level.windows for level in levels])[rows]
        keep = (masks > cfg.mask_thr).flatten(1).any(1)
        scores, masks, windows = scores[keep], masks[keep], windows[keep]
        if cfg.get('iou_thr') is not None and len(scores):
            _, kept = nms(occupied_part(masks > cfg.mask_thr, windows), scores, cfg.iou_thr)
            scores, masks, windows = scores[kept], masks[kept], windows[kept]
        best = slice(cfg.max_per_img)
        stretch = windows.new_tensor([size[1] / image.shape[-1], size[0] / image.shape[-2]] * 2)
        boxes, crops = paste(masks[best], windows[best] * stretch, size, cfg.mask_thr)
        found = Instances.from_crops(boxes, crops, size, torch.zeros_like(boxes[:, 0]), scores[best])
        return as_result(found[boxes[:, 2].cpu() > 0])  # a mask may lie in the part of its window beyond the image

    def scaled_level(self, image: Tensor, scaled: Size) -> Level:
        """`level` of the image resized to height and width `scaled`, its windows in pixels of the image itself."""
        small = F.interpolate(image, scaled, mode='bilinear', antialias=True)
        level = self.level(small)
        back = [image.shape[-1] / scaled[1], image.shape[-2] / scaled[0]] * 2
        return Level(level.scores, level.windows * level.windows.new_tensor(back), level.masks)


def finite(values: Tensor) -> Tensor:
    """The same values. Raises NotFiniteError where one is NaN or infinite."""
    if not torch.isfinite(values).all():
        raise NotFiniteError('the model computed NaN or infinity: broken weights, or a precision that overflows')
    return values


def scaled_by(size: Size, factor: float) -> Size:
    """A height and width times a factor, at least one pixel each."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def masks_of(levels: Sequence[Level], rows: Tensor) -> Tensor:
    """The soft masks of some windows, float32 (k, m, m); `rows` counts through all levels."""
    parts, order, start = [], [], 0
    for level in levels:
        end = start + len(level.scores)
        (own,) = ((rows >= start) & (rows < end)).nonzero(as_tuple=True)
        parts.append(level.masks(rows[own] - start))
        order.append(own)
        start = end
    return torch.cat(parts)[torch.cat(order).argsort()]


def occupied_part(masks: Tensor, windows: Tensor) -> Tensor:
    """The smallest box around each mask, bool (k, m, m), in the image: float32 (k, 4), xyxy. No mask may be empty."""
    corner, extent = windows[:, [0, 1, 0, 1]], (windows[:, 2:] - windows[:, :2])[:, [0, 1, 0, 1]]
    return corner + boxes_of(masks) / masks.shape[-1] * extent


def paste(masks: Tensor, windows: Tensor, size: Size, threshold: float) -> tuple[Tensor, Crops]:
    """Enlarge soft masks bilinearly from their windows into the image.

    Args:
        masks: float32 (N, m, m).
        windows: float32 (N, 4), xyxy in pixels of the image.
        size: height and width of the image.
        threshold: a pixel above it belongs to the mask.

    Returns:
        the smallest boxes around the masks, int64 (N, 4), and the masks cut to them.
    """
    height, width = size
    outer, given = [], windows.tolist()
    for x0, y0, x1, y1 in given:
        left, top = min(max(math.floor(x0), 0), width), min(max(math.floor(y0), 0), height)
        outer.append((left, top, max(left, min(math.ceil(x1), width)), max(top, min(math.ceil(y1), height))))
    shelf = Shelf(((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in outer), masks.device)
    held, inner = [], [torch.zeros(0, 4, dtype=torch.int64, device=masks.device)]
    for soft, window, box in zip(masks, given, outer, strict=True):
        mask = paste_one(soft, window, box) > threshold
        inner.append(boxes_of(mask[None]))
        held.append(shelf.put(mask))
    return trim(held, torch.cat(inner), torch.tensor(outer, device=masks.device).reshape(-1, 4))


def paste_one(soft: Tensor, window: Sequence[float], box: Sequence[int]) -> Tensor:
    """A soft mask, float32 (m, m), of a window of the image, inside a box of it: float32 (h, w)."""
    size = box[3] - box[1], box[2] - box[0]
    if 0 in size:
        return soft.new_zeros(size)
    cells = soft.shape[-1]
    to_x, to_y = cells / (window[2] - window[0]), cells / (window[3] - window[1])
    x0, x1 = ((x - window[0]) * to_x for x in (box[0], box[2]))
    y0, y1 = ((y - window[1]) * to_y for y in (box[1], box[3]))
    return resample(soft, (x0, y0, x1, y1), size)


def as_result(instances: Instances) -> InstanceData:
    """Instances as mmdet passes them on, the masks as COCO's RLEs."""
    return InstanceData(
        bboxes=instances.boxes.float(), labels=instances.labels, scores=instances.scores, masks=encode(instances)
    )
