"""A data set in COCO's detection format: the annotations of an image as `Instances`."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solo_bg.coco.check import Entry, check_coco
from solo_bg.coco.match import Matches, match
from solo_bg.coco.rle import box_of, crop_of
from solo_bg.coco.segmentation import Outline, outline_of
from solo_bg.core.crops import Crops, Shelf
from solo_bg.core.instances import Instances
from solo_bg.disk.read import read_json
from solo_bg.errors import ImageError, SetupError

log = logging.getLogger('solo_bg')


class Annotations:
    """A COCO data set, checked.

    Args:
        coco: a dict with `images`, `annotations` and `categories`, as `json.load` gives it. Never changed.

    Attributes:
        class_names: the categories' names, in their order; a label is a position among them.

    Raises:
        SetupError: it is no COCO data set; the message names the first thing wrong, with its id.
    """

    def __init__(self, coco: Any) -> None:
        check_coco(coco)
        self.coco: Entry = coco
        self.class_names = tuple(str(category['name']) for category in coco['categories'])
        self.label_of = {category['id']: label for label, category in enumerate(coco['categories'])}
        self.licences = {one.get('id'): one.get('url') or one.get('name') for one in coco.get('licenses') or ()}
        self.of_image: dict[Any, list[Entry]] = defaultdict(list)
        for annotation in coco['annotations']:
            self.of_image[annotation['image_id']].append(annotation)
        self.has_warned = False

    @classmethod
    def from_file(cls, path: Path) -> Annotations:
        """Read a JSON file. Raises SetupError as above, or where it cannot be read; the message names the path."""
        try:
            return cls(read_json(path))
        except SetupError as error:
            raise SetupError(f'{path}: {error}') from error

    def match(self, names: Mapping[str, str], paths: Mapping[str, str] | None = None) -> Matches:
        """Which image file is which entry of `images`: see `solo_bg.coco.match.match`."""
        return match(self.coco['images'], names, paths)

    def read(self, image: Entry, size: tuple[int, int]) -> Labelled:
        """What is annotated in one image, of height and width `size`. Annotations that cannot be used are skipped.

        Raises:
            ImageError: the image has another size.
        """
        if (int(image['height']), int(image['width'])) != size:
            expected, given = f'{image["width"]}x{image["height"]}', f'{size[1]}x{size[0]}'
            raise ImageError(f'it is {given}, but image {image["id"]} of the annotations is {expected}')
        decisions: dict[str, list[Any]] = defaultdict(list)
        outlines = []
        for annotation in self.of_image.get(image['id'], ()):
            try:
                outline = outline_of(annotation, size)
            except ValueError as error:
                decisions['skipped'].append(annotation['id'])
                self.warn(f'annotation {annotation["id"]} {error}')
                continue
            for fault in outline.faults:
                decisions[fault].append(annotation['id'])
            outlines.append(outline)
        entries, instances = [one.entry for one in outlines], self.instances_of(outlines, size)
        return Labelled(image, entries, instances, dict(decisions), self.licence_of(image))

    def licence_of(self, image: Entry) -> str | None:
        """The address or the name of an image's licence: from `licenses`, or its own text."""
        given = image.get('license')
        if isinstance(given, (int, str)) and given in self.licences:
            return self.licences[given]
        return given if isinstance(given, str) else None

    def instances_of(self, outlines: list[Outline], size: tuple[int, int]) -> Instances:
        """Boxes and crops: a dense mask for each would take 8 MB in a 4K image."""
        boxes = [box_of(one.runs, size) for one in outlines]
        shelf = Shelf([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes], torch.device('cpu'))
        crops = [
            shelf.put(torch.from_numpy(crop_of(one.runs, box, size))) for one, box in zip(outlines, boxes, strict=True)
        ]
        labels = torch.tensor([self.label_of[one.entry['category_id']] for one in outlines], dtype=torch.int64)
        return Instances.from_crops(
            torch.tensor(boxes, dtype=torch.int64).reshape(-1, 4),
            Crops(crops),
            size,
            labels,
            torch.ones(len(outlines)),
            self.class_names,
        )

    def warn(self, reason: str) -> None:
        """Say why an annotation is skipped, once: there may be many."""
        if not self.has_warned:
            self.has_warned = True
            log.warning('%s; it is skipped. Others like it are skipped without a message', reason)

    @property
    def head(self) -> Entry:
        """Everything but the images and the annotations."""
        return {key: value for key, value in self.coco.items() if key not in ('images', 'annotations')}


@dataclass(frozen=True)
class Labelled:
    """One image's annotations.

    Attributes:
        image: the image's entry.
        entries: the annotations' entries, without those that were skipped.
        instances: one for each entry, crowd regions included, with a score of 1.
        decisions: what was done about annotations with faults: `clipped`, `parts skipped` (see
            `solo_bg.coco.segmentation.Outline`) or `skipped` -> ids.
        licence: address or name of the image's licence, if the data set says it.
    """

    image: Entry
    entries: list[Entry]
    instances: Instances
    decisions: dict[str, list[Any]] = field(default_factory=dict)
    licence: str | None = None

    @property
    def crowd(self) -> Tensor | None:
        """Where a region is annotated as a crowd, bool (H, W); None if there is no such region."""
        rows = [row for row, entry in enumerate(self.entries) if entry.get('iscrowd')]
        return self.instances[rows].union if rows else None


class Labels:
    """Image files and what is annotated in them.

    Args:
        annotations: the data set.
        entries: `ImageFile.shown` -> the image's entry, as `Annotations.match` finds it.
    """

    def __init__(self, annotations: Annotations, entries: Mapping[str, Entry]) -> None:
        self.annotations = annotations
        self.entries = entries

    def __call__(self, shown: str, size: tuple[int, int]) -> Labelled:
        if shown not in self.entries:
            raise ImageError('is not in the annotations')
        return self.annotations.read(self.entries[shown], size)
