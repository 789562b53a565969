"""Is this COCO's detection format? Keys, ids and references are checked once, when a data set is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Any

from solo_bg.errors import SetupError

Entry = dict[str, Any]  # one item of `images` or of `annotations`
KEYS = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id'),
    'categories': ('id', 'name'),
}


def check_coco(coco: Any) -> None:
    """Raise SetupError unless the lists are there, each id occurs once, and every reference leads somewhere."""
    if not isinstance(coco, dict) or not all(isinstance(coco.get(key), list) for key in KEYS):
        raise SetupError(f'this is no COCO data set: expected an object with the lists {", ".join(KEYS)}')
    for kind, keys in KEYS.items():
        for entry in coco[kind]:
            if not isinstance(entry, dict) or any(key not in entry for key in keys):
                raise SetupError(f'{kind}: {str(entry)[:80]} lacks one of {", ".join(keys)}')
            if any(not isinstance(entry[key], (int, str)) for key in keys if key.endswith('id')):
                raise SetupError(f'{kind}: {str(entry)[:80]} has an id that is neither a number nor a text')
        refuse_repeated(kind, 'id', (entry['id'] for entry in coco[kind]))
    if not coco['categories']:
        raise SetupError('categories: the list is empty; expected the classes of the data set')
    for image in coco['images']:
        check_image(image)
    refuse_repeated('images', 'file name', (plain_path(image['file_name']) for image in coco['images']))
    images, categories = ({entry['id'] for entry in coco[kind]} for kind in ('images', 'categories'))
    for annotation in coco['annotations']:
        check_annotation(annotation, images, categories)


def check_image(image: Entry) -> None:
    sides = image['height'], image['width']
    if not all(isinstance(side, (int, float)) and side == side // 1 > 0 for side in sides):
        raise SetupError(f'image {image["id"]} is {sides[1]!r} wide and {sides[0]!r} high; expected whole numbers')
    if not isinstance(image['file_name'], str) or not image['file_name']:
        raise SetupError(f'image {image["id"]} has the file name {image["file_name"]!r}; expected a path')


def check_annotation(annotation: Entry, images: Collection[Any], categories: Collection[Any]) -> None:
    """Check all but the segmentation, which is checked when its image is read (`solo_bg.coco.segmentation`)."""
    number = annotation['id']
    if annotation['image_id'] not in images:
        raise SetupError(f'annotation {number} is of image {annotation["image_id"]}, which is not listed')
    if annotation['category_id'] not in categories:
        raise SetupError(f'annotation {number} is of category {annotation["category_id"]}, which is not listed')
    if not has_segmentation(annotation):
        box = annotation.get('bbox')
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(one, (int, float)) for one in box):
            raise SetupError(f'annotation {number} has neither a segmentation nor a bbox of four numbers')
        if not all(map(math.isfinite, box)) or min(box[2:]) < 0:
            expected = 'expected x, y and a width and height of 0 or more'
            raise SetupError(f'annotation {number} has the bbox {box}; {expected}')


def has_segmentation(annotation: Entry) -> bool:
    """Whether there is a segmentation. Exporters write `[]` and `[[]]` where there is only a box."""
    shape = annotation.get('segmentation')
    return bool(any(shape) if isinstance(shape, list) else shape)


def refuse_repeated(kind: str, what: str, values: Iterable[Any]) -> None:
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise SetupError(f'{kind}: the {what} {repeated[0]} occurs more than once; each must be unique')


def plain_path(name: str) -> str:
    """A file name of a data set as a path with `/` and without `./`."""
    return PurePosixPath(name.replace('\\', '/')).as_posix()
