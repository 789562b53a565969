"""COCO's detection format: read, checked, and turned into masks. Opens no file.

A data set is a dict of `images`, `annotations`, `categories`, and whatever else it holds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle

from solo_bg.core.instances import Instances
from solo_bg.disk.read import read_json
from solo_bg.errors import ImageError, SetupError

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

    @classmethod
    def from_file(cls, path: Path) -> Annotations:
        """Read a JSON file. Raises SetupError as above, or where it cannot be read; the message names the path."""
        try:
            return cls(read_json(path))
        except SetupError as error:
            raise SetupError(f'{path}: {error}') from error

    def match(self, names: Mapping[str, str]) -> Matches:
        """Which image file is which entry: by path, else by base name; either where it is unique on both sides.

        Args:
            names: of each image file, any key -> its path below INPUT, with `/`.
        """
        entries = {plain_path(image['file_name']): image for image in self.coco['images']}
        files = only_ones((name, key) for key, name in names.items())
        found = {files[name]: entries[name] for name in files.keys() & entries.keys()}
        ambiguous = [key for key, name in names.items() if name in entries and name not in files]
        taken, given = {image['id'] for image in found.values()}, set(names.values())
        left = [image for name, image in entries.items() if image['id'] not in taken and name not in given]
        by_base = only_ones((PurePosixPath(plain_path(image['file_name'])).name, image) for image in left)
        rest = {key: name for key, name in names.items() if name not in entries}
        of_base = only_ones((PurePosixPath(name).name, key) for key, name in rest.items())
        found |= {of_base[base]: by_base[base] for base in of_base.keys() & by_base.keys()}
        taken = {image['id'] for image in found.values()}
        missing = [image['file_name'] for image in left if image['id'] not in taken]
        return Matches(found, missing, [key for key in rest if key not in found], ambiguous)

    def read(self, image: Entry, size: tuple[int, int]) -> Labelled:
        """What is annotated in one image, of height and width `size`.

        Raises:
            ImageError: the image has another size, or a segmentation cannot be one of it.
        """
        if (int(image['height']), int(image['width'])) != size:
            expected, given = f'{image["width"]}x{image["height"]}', f'{size[1]}x{size[0]}'
            raise ImageError(f'it is {given}, but image {image["id"]} of the annotations is {expected}')
        entries = self.of_image[image['id']]
        masks = np.zeros((len(entries), *size), bool)
        for mask, annotation in zip(masks, entries, strict=True):
            mask[:] = decode(annotation, size)
        labels = torch.tensor([self.label_of[one['category_id']] for one in entries], dtype=torch.int64)
        instances = Instances(torch.from_numpy(masks), labels, torch.ones(len(entries)), self.class_names)
        return Labelled(image, entries, instances)

    @property
    def head(self) -> Entry:
        """Everything but the images and the annotations."""
        return {key: value for key, value in self.coco.items() if key not in ('images', 'annotations')}


@dataclass(frozen=True)
class Matches:
    """`found`: key of a file -> its entry. `missing`: file names that no file has. `unknown`: keys without an entry.
    `ambiguous`: keys of files that share their path below INPUT, for which there is one entry."""

    found: dict[str, Entry]
    missing: list[str]
    unknown: list[str]
    ambiguous: list[str]


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
        if shown not in self.entries:
            raise ImageError('is not in the annotations')
        return self.annotations.read(self.entries[shown], size)


def encode(mask: NDArray[np.bool_]) -> Entry:
    """COCO's run-length code of a mask, bool (H, W), as JSON takes it."""
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return {'size': list(code['size']), 'counts': code['counts'].decode()}


def decode(annotation: Entry, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of an annotation, bool (H, W): its polygons or its RLE, else its box, where it is in the image.

    Raises:
        ImageError: a segmentation that is none, or none of this size.
    """
    shape: Any = annotation.get('segmentation')
    height, width = size
    if not has_segmentation(annotation):
        x, y, w, h = annotation['bbox']
        left, top = (max(0, math.floor(start)) for start in (x, y))
        mask = np.zeros(size, bool)
        mask[top : max(top, math.ceil(y + h)), left : max(left, math.ceil(x + w))] = True
        return mask
    try:
        if isinstance(shape, dict):
            code = check_rle(shape, size, annotation['id'])
        else:
            for polygon in shape:
                check_polygon(polygon, size, annotation['id'])
            code = rle.merge(rle.frPyObjects(shape, height, width))
        return rle.decode(code).astype(bool)
    except ImageError:
        raise
    except (TypeError, KeyError, ValueError, IndexError, OverflowError) as error:
        raise ImageError(
            f'annotation {annotation["id"]} has a segmentation that is neither polygons nor RLE'
        ) from error


def has_segmentation(annotation: Entry) -> bool:
    """Whether there is any; exporters write `[]` and `[[]]` where there is only a box."""
    shape = annotation.get('segmentation')
    return bool(any(shape) if isinstance(shape, list) else shape)


def check_rle(shape: Entry, size: tuple[int, int], number: Any) -> Entry:
    """The code as pycocotools decodes it, whose counts fill the image: it does not look."""
    if tuple(shape['size']) != size:
        raise ImageError(f'annotation {number} has an RLE of {list(shape["size"])}, its image is {list(size)}')
    counts, pixels = shape['counts'], size[0] * size[1]
    if isinstance(counts, list):
        if any(count < 0 for count in counts) or sum(counts) != pixels:
            raise ImageError(f'annotation {number} has an RLE that does not fill its image')
        code: Entry = rle.frPyObjects(shape, *size)
        return code
    text = counts.encode() if isinstance(counts, str) else counts
    if sum_of_counts(text) != pixels:
        raise ImageError(f'annotation {number} has an RLE that does not fill its image')
    return {'size': list(size), 'counts': text}


def sum_of_counts(text: bytes) -> int:
    """How many pixels a compressed code covers. COCO's code: six bits a character, counted from '0', the sixth saying
    that more follow, the fifth of the last being the sign; from the fourth number on, the difference from the one two
    before."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value |= -1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return -1 if shift or any(count < 0 for count in counts) else sum(counts)


def check_polygon(polygon: Any, size: tuple[int, int], number: Any) -> None:
    points = np.asarray(polygon, float)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise ImageError(
            f'annotation {number} has a polygon of {points.size} numbers; expected x, y of 3 points and up'
        )
    points = points.reshape(-1, 2)
    if not ((points >= -SLACK) & (points <= np.array(size[::-1]) + SLACK)).all():  # NaN too
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
            if any(not isinstance(entry[key], (int, str)) for key in keys if key.endswith('id')):
                raise SetupError(f'{kind}: {str(entry)[:80]} has an id that is neither a number nor a text')
        refuse_repeated(kind, 'id', (entry['id'] for entry in coco[kind]))
    if not coco['categories']:
        raise SetupError('categories: the list is empty; expected the classes of the data set')
    for image in coco['images']:
        sides = image['height'], image['width']
        if not all(isinstance(side, (int, float)) and side == side // 1 > 0 for side in sides):
            raise SetupError(f'image {image["id"]} is {sides[1]!r} wide and {sides[0]!r} high; expected whole numbers')
        if not isinstance(image['file_name'], str) or not image['file_name']:
            raise SetupError(f'image {image["id"]} has the file name {image["file_name"]!r}; expected a path')
    refuse_repeated('images', 'file name', (plain_path(image['file_name']) for image in coco['images']))
    images, categories = ({entry['id'] for entry in coco[kind]} for kind in ('images', 'categories'))
    for annotation in coco['annotations']:
        check_annotation(annotation, images, categories)


def check_annotation(annotation: Entry, images: Collection[Any], categories: Collection[Any]) -> None:
    number = annotation['id']
    if annotation['image_id'] not in images:
        raise SetupError(f'annotation {number} is of image {annotation["image_id"]}, which is not listed')
    if annotation['category_id'] not in categories:
        raise SetupError(f'annotation {number} is of category {annotation["category_id"]}, not listed')
    if not has_segmentation(annotation):
        box = annotation.get('bbox')
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(one, (int, float)) for one in box):
            raise SetupError(f'annotation {number} has neither a segmentation nor a bbox of four numbers')
        if not all(map(math.isfinite, box)) or min(box[2:]) < 0:
            raise SetupError(
                f'annotation {number} has the bbox {box}; expected x, y and a width and height of 0 or more'
            )


def refuse_repeated(kind: str, what: str, values: Iterable[Any]) -> None:
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise SetupError(f'{kind}: the {what} {repeated[0]} occurs more than once; each must be unique')


def plain_path(name: str) -> str:
    """A file name of a data set as a path with `/` and without `./`."""
    return PurePosixPath(name.replace('\\', '/')).as_posix()


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
