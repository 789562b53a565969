"""Make the bundled model's data set: COCO photographs split in two, all classes one (`object`), and drawn scenes.

    python tools/prepare_tiny.py coco-mini/annotations/instances_train2017.json coco-mini/train2017 data/tiny

writes OUT/photos (to train on at most 400 pixels wide or high, to test on links to the originals) and OUT/scenes, with
`train.json` and `test.json` in each. Every fifth photograph by id is kept for testing; scenes for testing are drawn
from seeds that training never uses.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

from solo_bg.disk.files import read_image
from solo_bg.scenes import draw_scene

CATEGORIES = [{'id': 1, 'name': 'object'}]
TEST_SEEDS = 1_000_000  # scenes to test on are drawn from here upwards


def split_photos(ann_file: Path, images: Path, out: Path, test_every: int = 5) -> None:
    """Write both halves with their annotations, all of one class, split by position in the order of ids."""
    coco = json.loads(ann_file.read_text())
    (out / 'photos').mkdir(parents=True, exist_ok=True)
    parts: dict[str, tuple[list[dict], list[dict]]] = {'train': ([], []), 'test': ([], [])}
    for position, image in enumerate(sorted(coco['images'], key=lambda image: image['id'])):
        annotations = [{**ann, 'category_id': 1} for ann in coco['annotations'] if ann['image_id'] == image['id']]
        source, target = images / image['file_name'], out / 'photos' / image['file_name']
        target.unlink(missing_ok=True)
        if position % test_every == 0:
            target.symlink_to(source.resolve())
            part = parts['test']
        else:
            image, annotations = shrink(source, target, image, annotations)
            part = parts['train']
        part[0].append(image)
        part[1].extend(annotations)
    for name, (chosen, annotations) in parts.items():
        write_coco(out / 'photos' / f'{name}.json', chosen, annotations)


def shrink(
    source: Path, target: Path, image: dict, annotations: list[dict], longest: int = 400
) -> tuple[dict, list[dict]]:
    """Write the photograph small, which makes reading it in training several times faster; its masks likewise."""
    pixels = read_image(source)
    scale = longest / max(pixels.shape[:2])
    small_pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), small_pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    height, width = small_pixels.shape[:2]
    small = []
    for annotation in annotations:
        mask = cv2.resize(rle.decode(annotation['segmentation']), (width, height), interpolation=cv2.INTER_AREA)
        if mask.any():
            small.append({**annotation, **encode(mask)})
    return {**image, 'height': height, 'width': width}, small


def encode(mask: np.ndarray) -> dict:
    """COCO's `segmentation` (RLE), `bbox` (x, y, width, height) and `area` of a mask (H, W)."""
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    box, area = rle.toBbox(code).tolist(), int(rle.area(code))
    return {'segmentation': {**code, 'counts': code['counts'].decode()}, 'bbox': box, 'area': area}


def draw_one(job: tuple[int, Path]) -> tuple[dict, list[dict]]:
    """Draw the scene of one seed to disk; its COCO image and annotations."""
    seed, folder = job
    image, masks = draw_scene(seed)
    height, width = image.shape[:2]
    name = f'{seed:07d}.jpg'
    cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    annotations = [{'image_id': seed, 'category_id': 1, 'iscrowd': 0, **encode(mask)} for mask in masks]
    return {'id': seed, 'file_name': name, 'height': height, 'width': width}, annotations


def draw_scenes(folder: Path, name: str, seeds: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(draw_one, [(seed, folder) for seed in seeds], chunksize=8))
    annotations = [annotation for _, per_image in drawn for annotation in per_image]
    write_coco(folder / f'{name}.json', [image for image, _ in drawn], annotations)


def write_coco(path: Path, images: list[dict], annotations: list[dict]) -> None:
    numbered = [{**annotation, 'id': number} for number, annotation in enumerate(annotations, 1)]
    path.write_text(json.dumps({'images': images, 'annotations': numbered, 'categories': CATEGORIES}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path)
    parser.add_argument('images', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--scenes', type=int, default=4000, help='drawn scenes to train on (4000)')
    parser.add_argument('--test-scenes', type=int, default=50, help='drawn scenes to test on (50)')
    args = parser.parse_args()
    split_photos(args.annotations, args.images, args.out)
    draw_scenes(args.out / 'scenes', 'train', range(args.scenes))
    draw_scenes(args.out / 'scenes', 'test', range(TEST_SEEDS, TEST_SEEDS + args.test_scenes))


if __name__ == '__main__':
    main()
