"""Label the rest of the photographs of which only some objects are annotated, with a model trained so far.

    python tools/label_partial.py checkpoints/solo_bg_tiny.pth --data data/tiny

`tools/prepare_tiny.py` annotates that rest as a crowd, which no loss counts. Here the model judges each photograph and
its mirror image. What it is sure of becomes an instance, or background; a crowd remains only where it is not sure.
Annotated objects stay as they are. Reads `partial/train.json`, writes `partial/labelled.json`.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prepare_tiny import encode, write_coco
from pycocotools.coco import COCO

from solo_bg import Segmenter
from solo_bg.disk.read import read_image

CONFIG = 'configs/solo_bg_tiny.py'
BACKGROUND = 0.1  # where no instance of either image has this score, there is background
SCORE, AGREEMENT = 0.5, 0.35  # an instance needs this score, and this mean of both images' scores inside its mask
NEW = 0.5  # and this share of its pixels outside the annotated objects and the instances with a better score
SMALLEST = 60  # pixels

Mask = NDArray[np.bool_]


def judge(segmenter: Segmenter, pixels: np.ndarray) -> tuple[list[tuple[Mask, int, float]], NDArray[np.float32]]:
    """Find the instances of an image, uint8 (H, W, 3) BGR, and judge its pixels.

    Returns:
        Mask, bool (H, W), class index and score of each instance, the best score first.
        The score of the best instance at each pixel, float32 (H, W), mean of the image and its mirror image.
    """
    straight, mirrored = segmenter([pixels, np.ascontiguousarray(pixels[:, ::-1])])
    best = []
    for found in (straight, mirrored):
        scores = np.zeros(pixels.shape[:2], np.float32)
        for mask, score in zip(found.masks.numpy(), found.scores.tolist(), strict=True):
            scores[mask] = np.maximum(scores[mask], score)
        best.append(scores)
    instances = zip(straight.masks.numpy(), straight.labels.tolist(), straight.scores.tolist(), strict=True)
    return sorted(instances, key=lambda one: -one[2]), np.mean([best[0], best[1][:, ::-1]], axis=0, dtype=np.float32)


def label(
    instances: list[tuple[Mask, int, float]], scores: NDArray[np.float32], known: Mask
) -> tuple[list[tuple[Mask, int]], Mask]:
    """Choose the instances to teach, and what stays a crowd.

    Args:
        instances: what `judge` found.
        scores: float32 (H, W), of `judge`.
        known: bool (H, W), the union of the annotated objects.

    Returns:
        Mask, bool (H, W), and class index of each chosen instance; they overlap neither each other nor `known`.
        The crowd, bool (H, W): pixels that may belong to an object, but not to any chosen one.
    """
    chosen, taken = [], known.copy()
    for mask, index, score in instances:
        new = mask & ~taken
        if score >= SCORE and new.sum() >= max(SMALLEST, NEW * mask.sum()) and scores[mask].mean() >= AGREEMENT:
            chosen.append((new, index))
            taken |= new
    return chosen, (scores >= BACKGROUND) & ~taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='what finish_tiny.py made of the training so far')
    parser.add_argument(
        '--data', type=Path, default=Path('data/tiny'), help='folder that prepare_tiny.py wrote (default: data/tiny)'
    )
    args = parser.parse_args()

    folder = args.data / 'partial'
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / 'train.json'))
    segmenter = Segmenter(CONFIG, args.checkpoint, device='cpu')
    annotations, found = [], 0
    for number, image_id in enumerate(sorted(coco.imgs), 1):
        own = [one for one in coco.imgToAnns[image_id] if not one['iscrowd']]
        pixels = read_image(folder / 'images' / coco.imgs[image_id]['file_name'])
        known = np.any([coco.annToMask(one) for one in own], axis=0)
        chosen, crowd = label(*judge(segmenter, pixels), known)
        found += len(chosen)
        parts = [(mask, index + 1, 0) for mask, index in chosen] + [(crowd, own[0]['category_id'], 1)]
        new = [
            {'image_id': image_id, 'category_id': category, 'iscrowd': is_crowd, **encode(mask)}
            for mask, category, is_crowd in parts
            if mask.any()
        ]
        annotations += own + new
        if number % 100 == 0:
            print(f'{number} of {len(coco.imgs)} photographs, {found} instances', flush=True)
    write_coco(folder / 'labelled.json', [coco.imgs[image_id] for image_id in sorted(coco.imgs)], annotations)


if __name__ == '__main__':
    main()
