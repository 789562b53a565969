"""Measure how well a model finds the foreground: IoU of the union by score threshold, and COCO's mask AP.

    python tools/evaluate_union.py CONFIG CHECKPOINT ANNOTATIONS.json IMAGES/

The IoU of the union compares all kept masks together with all annotated masks together, averaged over the images. For
comparison it is also given for two answers that ignore the image: everything, and a box of half its height and width in
the middle.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solo_bg import Segmenter
from solo_bg.disk.read import read_image

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)


def iou(found: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union of two masks (H, W); 1 if both are empty."""
    union = (found | wanted).sum()
    return float((found & wanted).sum() / union) if union else 1.0


def centre_box(height: int, width: int) -> np.ndarray:
    """Return a box of half the height and width in the middle of the image, bool (H, W)."""
    box = np.zeros((height, width), bool)
    box[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None] = True
    return box


def evaluate(segmenter: Segmenter, coco: COCO, images: Path) -> tuple[np.ndarray, list[dict]]:
    """Run the model on every image of the data set.

    Returns:
        IoU of the union, float (images, thresholds + 2), where the last two columns are the whole image and the centre
        box; and the detections in COCO's result format.
    """
    rows, detections, category = [], [], coco.getCatIds()[0]
    for image_id in sorted(coco.imgs):
        pixels = read_image(images / coco.imgs[image_id]['file_name'])
        instances = segmenter([pixels])[0]
        annotations = coco.imgToAnns[image_id]
        wanted = np.zeros(pixels.shape[:2], bool)
        for annotation in annotations:
            wanted |= coco.annToMask(annotation).astype(bool)
        found = [instances.select(threshold).union.cpu().numpy() for threshold in THRESHOLDS]
        rows.append([iou(mask, wanted) for mask in [*found, np.ones_like(wanted), centre_box(*wanted.shape)]])
        for mask, score in zip(instances.masks.cpu().numpy(), instances.scores.tolist(), strict=True):
            code = rle.encode(np.asfortranarray(mask, np.uint8))
            detections.append({'image_id': image_id, 'category_id': category, 'segmentation': code, 'score': score})
    return np.array(rows), detections


def average_precision(coco: COCO, detections: list[dict]) -> tuple[float, float]:
    """Return COCO's mask AP over IoU 0.50:0.95 and at 0.50, classes ignored; 0 without detections."""
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
    parser.add_argument('annotations', type=Path, help='COCO annotations; their classes are ignored')
    parser.add_argument('images', type=Path)
    args = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(args.annotations))
    table, detections = evaluate(Segmenter(args.config, args.checkpoint), coco, args.images)
    for name, value in zip([*map(str, THRESHOLDS), 'whole image', 'centre box'], table.mean(0), strict=True):
        print(f'IoU of the union, {name:>11}: {value:.3f}')
    print('mask AP {:.3f}, AP50 {:.3f}'.format(*average_precision(coco, detections)))
    print(f'{len(table)} images')


if __name__ == '__main__':
    main()
