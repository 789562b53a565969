"""Make the data set of the bundled model out of COCO photographs and drawn scenes.

    python tools/prepare_tiny.py data/tiny \\
        --complete coco-mini/annotations/instances_train2017.json coco-mini/train2017 5 \\
        --complete photos/complete.json photos/complete 10 \\
        --partial photos/partial.json photos/partial

Classes become COCO's twelve supercategories and `object`, the class of drawn shapes. `--complete ANNOTATIONS IMAGES N`
names photographs in which every object is annotated; every N-th of them by image id is kept for testing, and every
twelfth of the others for calibration. `--partial` names photographs of which only some objects are annotated: the rest
of each is annotated as a crowd, which the loss ignores. Training photographs are stored at most 448 pixels long.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO

from solo_bg.disk.read import read_image
from solo_bg.scenes import draw_scene

SUPERCATEGORIES = {  # name -> how many of COCO's 80 categories it has, in the order of their ids
    'person': 1, 'vehicle': 8, 'outdoor': 5, 'animal': 10, 'accessory': 5, 'sports': 10,
    'kitchen': 7, 'food': 10, 'furniture': 6, 'electronic': 6, 'appliance': 5, 'indoor': 7,
}  # fmt: skip
CLASSES = (*SUPERCATEGORIES, 'object')
CALIBRATE_EVERY = 12
TEST_SEEDS = 1_000_000  # test scenes are drawn from here upwards
LONGEST = 448  # pixels of a training photograph's longer side


def class_ids(coco: COCO) -> dict[int, int]:
    """The data set's category id -> the id of its supercategory, from 1 in the order of CLASSES."""
    ids = sorted(coco.cats)
    if len(ids) == 80:
        groups = [number for number, size in enumerate(SUPERCATEGORIES.values(), 1) for _ in range(size)]
        return dict(zip(ids, groups, strict=True))
    return {number: CLASSES.index(coco.cats[number]['name']) + 1 for number in ids}


def prepare_photos(ann_file: Path, images: Path, out: Path, test_every: int | None) -> None:
    """Write `train`, `calibrate` and `test` of one data set to OUT; without `test_every` all are partial and train."""
    coco = COCO(str(ann_file))
    ids, out = class_ids(coco), out / ann_file.stem
    (out / 'images').mkdir(parents=True, exist_ok=True)
    parts: dict[str, tuple[list[dict], list[dict]]] = {'train': ([], []), 'calibrate': ([], []), 'test': ([], [])}
    trained = 0
    for position, image_id in enumerate(sorted(coco.imgs)):
        image = coco.imgs[image_id]
        masks = [
            (coco.annToMask(one), ids[one['category_id']], one.get('iscrowd', 0)) for one in coco.imgToAnns[image_id]
        ]
        source, target = images / image['file_name'], out / 'images' / image['file_name']
        target.unlink(missing_ok=True)
        part = 'train'
        if test_every:
            trained += position % test_every != 0
            part = 'test' if position % test_every == 0 else 'train' if trained % CALIBRATE_EVERY else 'calibrate'
        else:
            rest = np.logical_not(np.any([mask for mask, _, _ in masks], axis=0)).astype(np.uint8)
            masks.append((rest, masks[0][1], 1))
        if part == 'train':
            width, height = shrink(source, target)
            masks = [(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), *more) for mask, *more in masks]
        else:
            target.symlink_to(source.resolve())
            width, height = image['width'], image['height']
        entry = {'id': image_id, 'file_name': image['file_name'], 'width': width, 'height': height}
        parts[part][0].append(entry)
        parts[part][1].extend(
            {'image_id': image_id, 'category_id': label, 'iscrowd': crowd, **encode(mask)}
            for mask, label, crowd in masks
            if mask.any()
        )
    for name, (chosen, annotations) in parts.items():
        if chosen:
            write_coco(out / f'{name}.json', chosen, annotations)


def shrink(source: Path, target: Path) -> tuple[int, int]:
    """Write a photograph at most LONGEST pixels long; return its new width and height."""
    pixels = read_image(source)
    scale = min(1.0, LONGEST / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return small.shape[1], small.shape[0]


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
    cv2.imwrite(str(folder / 'images' / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    label = CLASSES.index('object') + 1
    annotations = [{'image_id': seed, 'category_id': label, 'iscrowd': 0, **encode(mask)} for mask in masks]
    return {'id': seed, 'file_name': name, 'height': height, 'width': width}, annotations


def draw_scenes(folder: Path, name: str, seeds: range) -> None:
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(draw_one, [(seed, folder) for seed in seeds], chunksize=8))
    annotations = [annotation for _, per_image in drawn for annotation in per_image]
    write_coco(folder / f'{name}.json', [image for image, _ in drawn], annotations)


def write_coco(path: Path, images: list[dict], annotations: list[dict], classes: Sequence[str] = CLASSES) -> None:
    numbered = [{**annotation, 'id': number} for number, annotation in enumerate(annotations, 1)]
    categories = [{'id': number, 'name': name} for number, name in enumerate(classes, 1)]
    path.write_text(json.dumps({'images': images, 'annotations': numbered, 'categories': categories}))
    print(f'{path}: {len(images)} images, {len(numbered)} annotations')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--complete', nargs=3, action='append', default=[], metavar=('JSON', 'IMAGES', 'N'))
    parser.add_argument('--partial', nargs=2, action='append', default=[], metavar=('JSON', 'IMAGES'))
    parser.add_argument('--scenes', type=int, default=1500, help='drawn scenes to train on (default: 1500)')
    parser.add_argument('--test-scenes', type=int, default=50, help='drawn scenes to test on (default: 50)')
    args = parser.parse_args()
    for ann_file, images, test_every in args.complete:
        prepare_photos(Path(ann_file), Path(images), args.out, int(test_every))
    for ann_file, images in args.partial:
        prepare_photos(Path(ann_file), Path(images), args.out, None)
    draw_scenes(args.out / 'scenes', 'train', range(args.scenes))
    draw_scenes(args.out / 'scenes', 'test', range(TEST_SEEDS, TEST_SEEDS + args.test_scenes))


if __name__ == '__main__':
    main()
