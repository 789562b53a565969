"""DeepMask's training examples: a window of an image, its object's mask, and whether it is a positive example."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray
from torch import Tensor

from solo_bg.core.masks import boxes_of
from solo_bg.core.windows import Window, cut_window, square_around
from solo_bg.mmdet_plugin.proposals import (
    DISTANT_SHIFT,
    FITTING_OCTAVES,
    FITTING_SHIFT,
    OBJECT,
    WINDOW,
    compare,
    distant,
)

TRIES = 50
CONTEXT = WINDOW / OBJECT  # a window's side, divided by the longer side of the object that it fits


@TRANSFORMS.register_module()
class CutTriplet(BaseTransform):
    """Cut one window out of an image, as a training example of DeepMask.

    A positive example keeps one instance with its mask. The object's longer side is 128 of 224 pixels, changed by a
    factor of at most 2^(1/4), and its centre at most 16 pixels from the window's, horizontally and vertically. A
    negative example keeps no instance: the window is at least 32 pixels or a factor of 2 away from that of every
    object, and its centre is in no crowd region. An image without objects gives negative examples.

    Put it after `LoadAnnotations(with_bbox=True, with_mask=True)`, while the image is uint8. mmdet's RandomFlip and
    changes of colour may follow. Random numbers are NumPy's, as in mmdet's transforms.

    Args:
        positive: probability of a positive example, where there are objects.
        margin: pixels around the window of 224 that are cut out with it, `DeepMask`'s `margin`.
        fill: colour beyond the image, in the image's channel order. The preprocessor's mean becomes 0 in the model.

    Raises:
        ValueError: `positive` is no probability, or `results` have no masks.
    """

    def __init__(
        self, positive: float = 0.5, margin: int = 16, fill: tuple[float, float, float] = (103.53, 116.28, 123.675)
    ) -> None:
        if not 0 <= positive <= 1:
            raise ValueError(f'positive must be a probability from 0 to 1, got {positive}')
        self.positive, self.margin, self.fill = positive, margin, fill

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'gt_masks' not in results:
            raise ValueError(
                "CutTriplet found no 'gt_masks'; put LoadAnnotations(with_bbox=True, with_mask=True) before it"
            )
        boxes = torch.as_tensor(getattr(results['gt_bboxes'], 'tensor', results['gt_bboxes'])).double().reshape(-1, 4)
        crowd = results['gt_ignore_flags'].astype(bool)
        masks = results['gt_masks'].to_ndarray()
        (objects,) = (~crowd).nonzero()
        if len(objects) and np.random.rand() < self.positive:
            row = np.random.choice(objects)
            return self.cut(results, fitting_window(boxes[row].tolist()), row, masks[row])
        crowds = masks[crowd].reshape(-1, *results['img'].shape[:2]).any(0)
        return self.cut(results, distant_window(boxes[objects], crowds), None, None)

    def cut(
        self, results: dict[str, Any], window: Window, row: int | None, mask: NDArray[np.uint8] | None
    ) -> dict[str, Any]:
        """`results` of the window and its margin, with one instance or none."""
        side = WINDOW + 2 * self.margin
        wide = square_around(window, side / WINDOW)
        pixels = torch.from_numpy(np.ascontiguousarray(results['img']))
        whole = None if mask is None else torch.from_numpy(mask)
        picture, inside = cut_window(pixels, wide, side, whole, fill=self.fill)
        kept = [] if row is None else [row]
        results['img'], results['img_shape'] = picture.numpy(), (side, side)
        results['scale_factor'] = (side / (wide[2] - wide[0]),) * 2
        results['gt_bboxes'] = HorizontalBoxes(boxes_of(inside[None])[: len(kept)].float())
        results['gt_masks'] = BitmapMasks(inside[None].numpy().astype(np.uint8)[: len(kept)], side, side)
        for name in ('gt_bboxes_labels', 'gt_ignore_flags'):
            results[name] = results[name][kept]
        return results


def fitting_window(box: list[float]) -> Window:
    """A window that is a positive example of an object, xyxy."""
    x0, y0, x1, y1 = square_around(box, CONTEXT * 2 ** np.random.uniform(-FITTING_OCTAVES, FITTING_OCTAVES))
    dx, dy = np.random.uniform(-FITTING_SHIFT, FITTING_SHIFT, 2) * (x1 - x0) / WINDOW
    return x0 + dx, y0 + dy, x1 + dx, y1 + dy


def distant_window(boxes: Tensor, crowds: NDArray[np.bool_]) -> Window:
    """A window that is a negative example: half of those tried are near an object, the others anywhere in the image.

    Args:
        boxes: float64 (N, 4), the objects.
        crowds: bool (H, W), where crowd regions are.
    """
    height, width = crowds.shape
    anchors = boxes if len(boxes) else torch.tensor([[0.0, 0.0, width, height]], dtype=torch.float64) / CONTEXT
    for _ in range(TRIES):
        anchor = anchors[np.random.randint(len(anchors))].tolist()
        window = square_around(anchor, CONTEXT * 2 ** np.random.uniform(-2, 2))
        half = (window[2] - window[0]) / 2
        x, y = (window[0] + window[2]) / 2, (window[1] + window[3]) / 2
        if np.random.rand() < 0.5:
            x, y = np.array([x, y]) + np.random.uniform(-2, 2, 2) * DISTANT_SHIFT * 2 * half / WINDOW
        else:
            x, y = np.random.uniform(0, width), np.random.uniform(0, height)
        in_crowd = crowds[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)]
        centre = torch.tensor([[x, y]], dtype=torch.float64)
        if not in_crowd and distant(*compare(centre, 2 * half, boxes)).item():
            return x - half, y - half, x + half, y + half
    longest = (anchors[:, 2:] - anchors[:, :2]).max().item()  # objects are at most half as large as they should be
    return square_around([0, 0, longest, longest], 2.01 * CONTEXT)
