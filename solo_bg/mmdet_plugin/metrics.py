"""Metrics beside COCO's AP: how well the foreground is found, and how well proposals cover the objects."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solo_bg.coco.dataset import Annotations
from solo_bg.coco.rle import encode
from solo_bg.core.instances import Instances
from solo_bg.core.results import as_instances

MOST = 1000  # proposals for each image
Proposals = tuple[Any, list[dict[str, Any]]]  # an image's id, and its proposals in COCO's form
AREAS = ('all', 'S', 'M', 'L')  # COCO's sizes: below 32**2 pixels, below 96**2, and the rest


@METRICS.register_module()
class ForegroundIoU(BaseMetric):
    """IoU of an image's foreground, the union of its masks, with the union of its annotations; the images' mean.

    The IoU is 1 for an image where both are empty. Annotations that cannot be used are skipped with a warning.

    Args:
        ann_file: COCO annotations; images are found in them by `img_id`.
        score_thr: masks with score > this are kept.
    """

    default_prefix = 'foreground'

    def __init__(self, ann_file: str, score_thr: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.annotations = Annotations.from_file(Path(ann_file))
        self.images = {image['id']: image for image in self.annotations.coco['images']}
        self.score_thr = score_thr

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        for sample in data_samples:
            found = sample['pred_instances']
            image = self.images[sample['img_id']]
            size = int(image['height']), int(image['width'])
            labels = torch.zeros(len(found['scores']), dtype=torch.int64)
            kept = as_instances((found['masks'], labels, found['scores']), size).select(self.score_thr)
            union = kept.union.cpu()
            wanted = self.annotations.read(image, size).instances.union
            either = int((union | wanted).sum())
            self.results.append(int((union & wanted).sum()) / either if either else 1.0)

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {'iou': float(np.mean(results)) if results else 0.0}


@METRICS.register_module()
class MaskProposalRecall(BaseMetric):
    """Average recall of mask proposals, as in DeepMask's tables (https://arxiv.org/abs/1506.06204, section 5).

    `AR@10`, `AR@100` and `AR@1000` are the recall with that many proposals for each image, averaged over IoU
    thresholds 0.50:0.05:0.95. Classes are ignored. There is one for all objects and one for each size. `AUC` is the
    mean of AR@n over n from 1 to 1000. To get 1000 proposals, set the model's `score_thr=0` and its `nms_pre` and
    `max_per_img` to 1000. Without proposals all values are 0.

    Args:
        ann_file: COCO annotations; images are found in them by `img_id`. Those that cannot be used are skipped with a
            warning.
    """

    default_prefix = 'proposal'

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.coco = ground_truth(Annotations.from_file(Path(ann_file)))

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        for sample in data_samples:
            found = sample['pred_instances']
            masks, scores = found['masks'], torch.as_tensor(found['scores']).cpu()
            if not isinstance(masks, list):  # a list holds RLEs
                dense = torch.as_tensor(masks).bool().cpu()
                masks = encode(Instances(dense, torch.zeros(len(dense), dtype=torch.int64), scores))
            scored = zip(masks, scores.tolist(), strict=True)
            image_id = sample['img_id']
            proposals = [{'image_id': image_id, 'segmentation': code, 'score': score} for code, score in scored]
            self.results.append((image_id, proposals))  # one for each image: mmengine gathers as many

    def compute_metrics(self, results: list[Proposals]) -> dict[str, float]:
        recalls = average_recalls(self.coco, results)
        named = {f'AR@{count}': recalls['all'][count - 1] for count in (10, 100, 1000)}
        named |= {f'AR{area}@{count}': recalls[area][count - 1] for area in 'SML' for count in (10, 100, 1000)}
        named |= {f'AUC{"" if area == "all" else area}': recalls[area].mean() for area in AREAS}
        return {name: float(value) for name, value in named.items()}


def ground_truth(annotations: Annotations) -> COCO:
    """The annotations in COCOeval's form: each with RLE, area and `iscrowd`, and ids from 1 (0 means "no match")."""
    entries: list[dict[str, Any]] = []
    for image in annotations.coco['images']:
        labelled = annotations.read(image, (int(image['height']), int(image['width'])))
        areas, codes = labelled.instances.areas.tolist(), encode(labelled.instances)
        for entry, area, code in zip(labelled.entries, areas, codes, strict=True):
            whole = {'area': area, 'iscrowd': 0, 'bbox': [0, 0, 0, 0], **entry}
            entries.append({**whole, 'id': len(entries) + 1, 'segmentation': code})
    coco = COCO()
    coco.dataset = {'info': {}, **annotations.coco, 'annotations': entries}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def average_recalls(coco: COCO, results: list[Proposals]) -> dict[str, NDArray[np.float64]]:
    """The average recall with 1, 2, ... 1000 proposals for each image.

    COCO matches an image's proposals in the order of their scores, so the first n of 1000 are matched as n would be.

    Returns:
        size -> float64 (1000,), 0 where there are no objects.
    """
    any_class = coco.getCatIds()[0]  # COCOeval skips classes that the data set does not list
    proposals = [{**one, 'category_id': any_class} for _, of_image in results for one in of_image]
    if not proposals:
        return {area: np.zeros(MOST) for area in AREAS}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(proposals), 'segm')
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [MOST]
        evaluation.params.imgIds = sorted(image_id for image_id, _ in results)
        evaluation.evaluate()
    per_area = np.array(evaluation.evalImgs, dtype=object).reshape(len(AREAS), -1)
    return {area: recall_by_count(images) for area, images in zip(AREAS, per_area, strict=True)}


def recall_by_count(images: Iterable[Any]) -> NDArray[np.float64]:
    thresholds = 10
    hits, objects = np.zeros((thresholds, MOST)), 0
    for image in images:
        if image is None:  # neither objects nor proposals
            continue
        objects += int((np.asarray(image['gtIgnore']) == 0).sum())
        matched = (np.asarray(image['dtMatches']) > 0) & ~np.asarray(image['dtIgnore'], bool)  # (thresholds, proposals)
        hits[:, : matched.shape[1]] += matched
    recall: NDArray[np.float64] = hits.cumsum(1) / max(objects, 1)
    return recall.mean(0)
