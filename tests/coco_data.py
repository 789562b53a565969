"""A small COCO data set of drawn scenes with every kind of annotation."""

import json

import cv2
import numpy as np
from pycocotools import mask as rle

from solo_bg.scenes import draw_scene

CATEGORIES = [{'id': 7, 'name': 'round', 'supercategory': 'shape'}, {'id': 3, 'name': 'other'}]


def encode(mask):
    """A mask, bool (H, W), as pycocotools encodes it, with text that JSON takes."""
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return {'size': list(code['size']), 'counts': code['counts'].decode()}


def decode(segmentation, size):
    """The mask of polygons or of an RLE, bool (H, W), as pycocotools decodes it."""
    if isinstance(segmentation, list):
        segmentation = rle.merge(rle.frPyObjects(segmentation, *size))
    elif isinstance(segmentation['counts'], list):
        segmentation = rle.frPyObjects(segmentation, *size)
    return rle.decode(segmentation).astype(bool)


def polygons_of(mask):
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.ravel().astype(float).tolist() for contour in contours if len(contour) >= 3]


def make_dataset(root, count=4, height=60, width=80):
    """Write `count` images below `root/images` and `root/instances.json`; the data set as a dict."""
    coco = {'info': {'year': 2026}, 'licenses': [{'id': 1}], 'images': [], 'annotations': [], 'categories': CATEGORIES}
    (root / 'images/sub').mkdir(parents=True)
    for index in range(count):
        image, masks = draw_scene(100 + index, height, width)
        name = f'sub/{index}.png' if index % 2 else f'{index}.png'
        cv2.imwrite(str(root / 'images' / name), image)
        coco['images'].append({'id': 50 + index, 'file_name': name, 'height': height, 'width': width, 'mine': index})
        for row, mask in enumerate(masks):
            code = encode(mask)
            shape = code if row % 2 or not polygons_of(mask) else polygons_of(mask)
            coco['annotations'].append(
                {
                    'id': 1000 + len(coco['annotations']),
                    'image_id': 50 + index,
                    'category_id': CATEGORIES[row % 2]['id'],
                    'segmentation': shape,
                    'bbox': rle.toBbox(code).tolist(),
                    'area': float(mask.sum()),
                    'iscrowd': int(row == 3),
                    'extra': 'kept',
                }
            )
    (root / 'instances.json').write_text(json.dumps(coco))
    return coco
