"""Measure how well a model finds the foreground: the IoU of the union by score threshold, and COCO's mask AP.

    python tools/evaluate_union.py CONFIG CHECKPOINT ANNOTATIONS.json IMAGES/

The IoU of the union compares all kept masks together with all annotated masks together, and is averaged over the
images. Two baselines that ignore the image stand beside it: the whole image, and a centred box of half its height and
width. For each class the table gives the share of its annotated pixels that the union at the default threshold covers.
"""

import argparse
import contextlib
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solo_bg import Segmenter
from solo_bg.disk.read import read_image

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
DEFAULT = THRESHOLDS.index(0.3)


def iou(found: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union of two masks (H, W); 1 if both are empty."""
    union = (found | wanted).sum()
    return float((found & wanted).sum() / union) if union else 1.0


def centre_box(height: int, width: int) -> np.ndarray:
    box = np.zeros((height, width), bool)
    box[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None] = True
    return box


@dataclass
class Evaluation:
    """What was measured on one data set.

    Attributes:
        ious: IoU of the union, (images, thresholds + 2); the last two columns are the whole image and the centre box.
        found_nothing: images without any instance at the default threshold.
        pixels: category id -> annotated pixels, and those of them that the union at the default threshold covers.
        detections: in COCO's form, all of one category.
    """

    ious: np.ndarray
    found_nothing: int
    pixels: dict[int, np.ndarray]
    detections: list[dict]


def evaluate(segmenter: Segmenter, coco: COCO, images: Path) -> Evaluation:
    rows: list[list[float]] = []
    detections: list[dict] = []
    pixels: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(2, np.int64))
    found_nothing, category = 0, coco.getCatIds()[0]
    for image_id in sorted(coco.imgs):
        image = read_image(images / coco.imgs[image_id]['file_name'])
        instances = segmenter([image])[0]
        found = [instances.select(threshold).union.cpu().numpy() for threshold in THRESHOLDS]
        found_nothing += not found[DEFAULT].any()
        wanted = np.zeros(image.shape[:2], bool)
        for annotation in coco.imgToAnns[image_id]:
            mask = coco.annToMask(annotation).astype(bool)
            pixels[annotation['category_id']] += mask.sum(), (mask & found[DEFAULT]).sum()
            wanted |= mask
        rows.append([iou(mask, wanted) for mask in [*found, np.ones_like(wanted), centre_box(*wanted.shape)]])
        for mask, score in zip(instances.masks.cpu().numpy(), instances.scores.tolist(), strict=True):
            code = rle.encode(np.asfortranarray(mask, np.uint8))
            detections.append({'image_id': image_id, 'category_id': category, 'segmentation': code, 'score': score})
    return Evaluation(np.array(rows), found_nothing, dict(pixels), detections)


def average_precision(coco: COCO, detections: list[dict]) -> tuple[float, float]:
    """COCO's mask AP over IoU 0.50:0.95, and at 0.50, whatever the class; 0 without detections."""
    if not detections:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset.setdefault('info', {})
        evaluation = COCOeval(coco, coco.loadRes(detections), 'segm')
        evaluation.params.useCats = 0
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('annotations', type=Path, help='COCO annotations, of any classes')
    parser.add_argument('images', type=Path)
    args = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(args.annotations))
    result = evaluate(Segmenter(args.config, args.checkpoint), coco, args.images)
    names = [*map(str, THRESHOLDS), 'whole image', 'centre box']
    for name, value in zip(names, result.ious.mean(0), strict=True):
        print(f'IoU of the union, {name:>11}: {value:.3f}')
    print('mask AP {:.3f}, AP50 {:.3f} (classes ignored)'.format(*average_precision(coco, result.detections)))
    for category, (annotated, covered) in sorted(result.pixels.items(), key=lambda item: -item[1][0]):
        print(f'{coco.cats[category]["name"]:>16}: {covered / annotated:.2f} of {annotated} pixels found')
    print(f'{len(result.ious)} images, nothing found in {result.found_nothing}')


if __name__ == '__main__':
    main()
