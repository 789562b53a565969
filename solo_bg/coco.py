"""COCO's detection format: read, checked, and turned into masks. Opens no file.

A data set is a dict of `images`, `annotations`, `categories`, and whatever else it holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle

from solo_bg.errors import ImageError, SetupError
from solo_bg.instances import Instances

Entry = dict[str, Any]  # of `images` or of `annotations`
SLACK = 1.0  # pixels that a polygon may reach beyond the image: annotation tools round


class Annotations:
    """A COCO data set, checked.

    Args:
        coco: as `json.load` gives it. Never changed.

    Attributes:
        class_names: of the categories, in their order; a label is a position in it.

    Raises:
        SetupError: it is no COCO data set; the message names the first thing wrong, with its id.
    """

    def __init__(self, coco: Any) -> None:
        check_coco(coco)
        self.coco: Entry = coco
        self.class_names = tuple(str(category['name']) for category in coco['categories'])
        self.label_of = {category['id']: label for label, category in enumerate(coco['categories'])}
        self.of_image: dict[Any, list[Entry]] = defaultdict(list)
        for annotation in coco['annotations']:
            self.of_image[annotation['image_id']].append(annotation)

    def match(self, names: Mapping[str, str]) -> Matches:
        """Which image file is which entry: by path, else by base name where that is unique on both sides.

        Args:
            names: of each image file, any key -> its path below INPUT, with `/`.
        """
        by_path = {image['file_name']: image for image in self.coco['images']}
        found = {key: by_path[name] for key, name in names.items() if name in by_path}
        taken = {image['id'] for image in found.values()}
        left = [image for image in self.coco['images'] if image['id'] not in taken]
        entries = only_ones((PurePosixPath(image['file_name']).name, image) for image in left)
        files = only_ones((PurePosixPath(name).name, key) for key, name in names.items() if key not in found)
        found |= {files[base]: entries[base] for base in files.keys() & entries.keys()}
        taken = {image['id'] for image in found.values()}
        missing = [image['file_name'] for image in self.coco['images'] if image['id'] not in taken]
        return Matches(found, missing, [key for key in names if key not in found])

    def read(self, image: Entry, size: tuple[int, int]) -> Labelled:
        """What is annotated in one image, of height and width `size`.

        Raises:
            ImageError: the image has another size, or a segmentation cannot be one of it.
        """
        if (image['height'], image['width']) != size:
            expected, given = f'{image["width"]}x{image["height"]}', f'{size[1]}x{size[0]}'
            raise ImageError(f'it is {given}, but image {image["id"]} of the annotations is {expected}')
        entries = self.of_image[image['id']]
        masks = np.zeros((len(entries), *size), bool)
        for mask, annotation in zip(masks, entries, strict=True):
            mask[:] = decode(annotation, size)
        labels = torch.tensor([self.label_of[one['category_id']] for one in entries], dtype=torch.int64)
        instances = Instances(torch.from_numpy(masks), labels, torch.ones(len(entries)), self.class_names)
        return Labelled(image, entries, instances)

    def carry(self, images: Iterable[tuple[Entry, Sequence[Entry]]]) -> Entry:
        """The data set of the images written, in its own order: everything else as it was."""
        carried = {image['id']: (image, {one['id']: one for one in entries}) for image, entries in images}
        nothing: tuple[Entry, dict[Any, Entry]] = ({}, {})
        return {
            **self.coco,
            'images': [carried[image['id']][0] for image in self.coco['images'] if image['id'] in carried],
            'annotations': [
                entries[one['id']]
                for one in self.coco['annotations']
                if one['id'] in (entries := carried.get(one['image_id'], nothing)[1])
            ],
        }


@dataclass(frozen=True)
class Matches:
    """`found`: key of a file -> its entry. `missing`: file names that no file has. `unknown`: keys without an entry."""

    found: dict[str, Entry]
    missing: list[str]
    unknown: list[str]


@dataclass(frozen=True)
class Labelled:
    """One image's annotations: its entry, theirs, and `instances`, one an annotation, crowds included, scores 1."""

    image: Entry
    entries: list[Entry]
    instances: Instances


class Labels:
    """Image files and what is annotated in them.

    Args:
        annotations: the data set.
        entries: `ImageFile.shown` -> entry of its image, as `Annotations.match` finds it.
    """

    def __init__(self, annotations: Annotations, entries: Mapping[str, Entry]) -> None:
        self.annotations = annotations
        self.entries = entries

    def __call__(self, shown: str, size: tuple[int, int]) -> Labelled:
        return self.annotations.read(self.entries[shown], size)


def encode(mask: NDArray[np.bool_]) -> Entry:
    """COCO's run-length code of a mask, bool (H, W), as JSON takes it."""
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return {'size': list(code['size']), 'counts': code['counts'].decode()}


def decode(annotation: Entry, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of an annotation, bool (H, W): its polygons or its RLE, else its box."""
    shape, (height, width) = annotation.get('segmentation'), size
    if not shape:
        x, y, w, h = annotation['bbox']
        mask = np.zeros(size, bool)
        mask[max(0, int(np.floor(y))) : int(np.ceil(y + h)), max(0, int(np.floor(x))) : int(np.ceil(x + w))] = True
        return mask
    try:
        if isinstance(shape, dict):
            if tuple(shape['size']) != size:
                raise ImageError(f'annotation {annotation["id"]} has an RLE of {shape["size"]}, its image {list(size)}')
            code = shape if isinstance(shape['counts'], (str, bytes)) else rle.frPyObjects(shape, height, width)
        else:
            for polygon in shape:
                check_polygon(polygon, size, annotation['id'])
            code = rle.merge(rle.frPyObjects(shape, height, width))
        return rle.decode(code).astype(bool)
    except (TypeError, KeyError, ValueError, IndexError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f'annotation {annotation["id"]} has a segmentation that is neither polygons nor RLE'
        ) from error


def check_polygon(polygon: Any, size: tuple[int, int], number: Any) -> None:
    points = np.asarray(polygon, float)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise ImageError(
            f'annotation {number} has a polygon of {points.size} numbers; expected x, y of 3 points or more'
        )
    points = points.reshape(-1, 2)
    if (points < -SLACK).any() or (points > np.array(size[::-1]) + SLACK).any():
        x, y = points[np.abs(points - np.array(size[::-1]) / 2).max(1).argmax()]
        raise ImageError(f'annotation {number} has a point at ({x:g}, {y:g}), outside its image {size[1]}x{size[0]}')


def check_coco(coco: Any) -> None:
    """Raise SetupError unless this is COCO's detection format: its keys, ids once each, no reference to what is not."""
    if not isinstance(coco, dict) or not all(isinstance(coco.get(key), list) for key in KEYS):
        raise SetupError(f'this is no COCO data set: expected an object with the lists {", ".join(KEYS)}')
    for kind, keys in KEYS.items():
        for entry in coco[kind]:
            if not isinstance(entry, dict) or any(key not in entry for key in keys):
                raise SetupError(f'{kind}: {str(entry)[:80]} lacks one of {", ".join(keys)}')
        if repeated := [key for key, count in Counter(entry['id'] for entry in coco[kind]).items() if count > 1]:
            raise SetupError(f'{kind}: the id {repeated[0]} occurs more than once; ids must be unique')
    if not coco['categories']:
        raise SetupError('categories: the list is empty; expected the classes of the data set')
    images, categories = ({entry['id'] for entry in coco[kind]} for kind in ('images', 'categories'))
    for annotation in coco['annotations']:
        if annotation['image_id'] not in images:
            raise SetupError(f'annotation {annotation["id"]} is of image {annotation["image_id"]}, which is not listed')
        if annotation['category_id'] not in categories:
            raise SetupError(f'annotation {annotation["id"]} is of category {annotation["category_id"]}, not listed')
        if not annotation.get('segmentation') and len(annotation.get('bbox') or ()) != 4:
            raise SetupError(f'annotation {annotation["id"]} has neither a segmentation nor a bbox of four numbers')


KEYS = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id'),
    'categories': ('id', 'name'),
}


def only_ones(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs whose key occurs once."""
    grouped: dict[str, list[Any]] = defaultdict(list)
    for key, value in pairs:
        grouped[key].append(value)
    return {key: values[0] for key, values in grouped.items() if len(values) == 1}
