"""mAP^r, the metric of Multi-task Network Cascades: Pascal VOC's average precision with the IoU of masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from pycocotools import mask as rle

from solo_bg.coco.dataset import Annotations
from solo_bg.coco.rle import encode
from solo_bg.core.results import as_instances
from solo_bg.mmdet_plugin.metrics import ground_truth

Floats = NDArray[np.float64]
Outcomes = NDArray[np.int8]
RIGHT, WRONG, IGNORED = np.array([1, 0, -1], np.int8)


@METRICS.register_module()
class RegionAP(BaseMetric):
    """mAP^r: Pascal VOC's average precision, where a mask is right if its IoU with an object's mask is high enough.

    The definition is that of Hariharan et al. 2014 (https://arxiv.org/abs/1407.1808) with the area under the curve as
    in VOC 2010 and later. The masks of a class in all images are taken in the order of their scores. Each belongs to
    the object of its class and image with which it has the largest IoU. It is right if this IoU reaches the threshold
    and no mask before it was right about the same object. The mean is over the classes that have objects.

    A mask that belongs to a crowd region counts neither as right nor as wrong; its share inside the region takes the
    place of the IoU.

    Args:
        ann_file: COCO annotations; images are found in them by `img_id`. Those that cannot be used are skipped with a
            warning.
        iou_thrs: the thresholds. There is one value for each, `region/mAPr@0.5` and so on.
        eleven_points: take the mean of the precision at eleven recalls, as VOC did until 2009, in place of the area.
    """

    default_prefix = 'region'

    def __init__(
        self, ann_file: str, iou_thrs: Sequence[float] = (0.5, 0.7), eleven_points: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not iou_thrs or not all(0 < threshold <= 1 for threshold in iou_thrs):
            raise ValueError(f'iou_thrs must be numbers above 0 and up to 1, got {iou_thrs}')
        annotations = Annotations.from_file(Path(ann_file))
        self.coco = ground_truth(annotations)
        self.names = annotations.class_names
        self.categories = {str(category['name']): category['id'] for category in self.coco.dataset['categories']}
        self.thresholds, self.eleven_points = np.array(iou_thrs, float), eleven_points

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        for sample in data_samples:
            found, image = sample['pred_instances'], self.coco.imgs[sample['img_id']]
            size = int(image['height']), int(image['width'])
            instances = as_instances((found['masks'], found['labels'], found['scores']), size)
            scores = instances.scores.tolist()
            self.results.append((sample['img_id'], encode(instances), instances.host_labels, scores))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        of_classes = []
        for label, name in enumerate((self.dataset_meta or {}).get('classes', self.names)):
            category = self.categories.get(name)
            objects = sum(self.objects_of(image, category)[1].count(0) for image, *_ in results)
            if objects:
                judged = [
                    self.judge(image, codes, labels, confidences, label, category)
                    for image, codes, labels, confidences in results
                ]
                scores, outcomes = (np.concatenate(parts, -1) for parts in zip(*judged, strict=True))
                outcomes = outcomes[:, np.argsort(-scores, kind='stable')]
                of_classes.append([average_precision(one, objects, self.eleven_points) for one in outcomes])
        means = np.mean(of_classes, 0) if of_classes else np.zeros(len(self.thresholds))
        return {f'mAPr@{threshold:g}': float(mean) for threshold, mean in zip(self.thresholds, means, strict=True)}

    def objects_of(self, image: Any, category: Any) -> tuple[list[Any], list[int]]:
        """The RLEs of an image's objects of a class, and for each whether it is a crowd region."""
        of_class = [one for one in self.coco.imgToAnns.get(image, ()) if one['category_id'] == category]
        return [one['segmentation'] for one in of_class], [int(one['iscrowd']) for one in of_class]

    def judge(
        self, image: Any, codes: list[Any], labels: list[int], scores: list[float], label: int, category: Any
    ) -> tuple[Floats, Outcomes]:
        """The masks of one class in one image, best score first: their scores, float64 (n,), and their outcomes, int8
        (thresholds, n)."""
        rows = sorted((row for row, own in enumerate(labels) if own == label), key=lambda row: -scores[row])
        outcomes = np.full((len(self.thresholds), len(rows)), WRONG)
        objects, crowds = self.objects_of(image, category)
        if rows and objects:
            overlaps = rle.iou([codes[row] for row in rows], objects, crowds)  # (n, objects)
            best, largest = overlaps.argmax(1), overlaps.max(1)
            of_crowd = np.array(crowds, bool)[best]
            for outcome, threshold in zip(outcomes, self.thresholds, strict=True):
                reaches = largest >= threshold
                _, first = np.unique(np.where(reaches, best, -1), return_index=True)  # the best mask of each object
                outcome[first[reaches[first]]] = RIGHT
                outcome[reaches & of_crowd] = IGNORED
        return np.array([scores[row] for row in rows], float), outcomes


def average_precision(outcomes: Outcomes, objects: int, eleven_points: bool = False) -> float:
    """The area under the curve of precision over recall, where the precision at a recall is the highest one at that
    recall or a larger one.

    Args:
        outcomes: int8 (n,), of the masks of a class in all images, best score first.
        objects: how many there are; at least one.
        eleven_points: the mean of the precision at the recalls 0, 0.1, ... 1 in place of the area.
    """
    right = outcomes[outcomes != IGNORED] == RIGHT
    hits = right.cumsum()
    recall = hits / objects
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    if eleven_points:
        reached = np.searchsorted(recall, np.arange(11) / 10 - 1e-9)
        return float(np.append(precision, 0)[reached].mean())
    return float((precision * np.diff(recall, prepend=0)).sum())
