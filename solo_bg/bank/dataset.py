"""Make a COCO data set of a bank and backgrounds: instances pasted into images that hold no annotated object."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.bank.bank import Bank
from solo_bg.bank.paste import Pasted, paste_some
from solo_bg.bank.place import Rules
from solo_bg.coco.check import Entry
from solo_bg.coco.pseudo_labels import category_ids, number, predictions
from solo_bg.core.instances import Instances
from solo_bg.disk.encode import encode_image
from solo_bg.disk.inputs import ImageFile
from solo_bg.disk.read import read_image
from solo_bg.disk.write import make_folder, write_bytes, write_image
from solo_bg.draw.backgrounds import random_of
from solo_bg.draw.names import overlay
from solo_bg.draw.sheet import make_sheet, to_height
from solo_bg.errors import ImageError, SetupError
from solo_bg.version import __version__

SHEET_ROWS = 8
COLUMNS = ('background', 'composed', 'annotated')


@dataclass(frozen=True)
class Composition:
    """What to make. The same composition of the same files gives the same bytes.

    Attributes:
        count: number of images; backgrounds are used in their order, again and again. None: each once.
        longest: backgrounds with a longer side are made smaller, to this many pixels; None: none is.
        format, quality: of the images, as for `encode_image`.

    Raises:
        SetupError: `count` or `longest` is less than 1.
    """

    bank: Bank
    backgrounds: Sequence[ImageFile]
    rules: Rules = field(default_factory=Rules)
    count: int | None = None
    seed: int = 0
    longest: int | None = None
    format: str = 'png'
    quality: int = 95

    def __post_init__(self) -> None:
        for name, value in (('count', self.count), ('longest', self.longest)):
            if value is not None and value < 1:
                raise SetupError(f'{name} expected a number of at least 1, got {value}')


@dataclass
class Made:
    """What was made: the number of images and of instances, and the reasons of backgrounds that cannot be used."""

    images: int = 0
    instances: int = 0
    failures: list[str] = field(default_factory=list)


def compose_dataset(what: Composition, out: Path) -> Made:
    """Write `out`/images, `out`/annotations.json and `out`/contact_sheet.jpg.

    Image number k depends on the seed, on k, and on the k-th background only. annotations.json is written last: where
    it is, the data set is whole.

    Raises:
        SetupError: `out` holds something already or cannot be written to, or no background can be used.
        ImageError: a crop of the bank cannot be read, or a file cannot be written.
    """
    if not what.backgrounds:
        raise SetupError('there is no background; expected at least one image')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SetupError(f'{out} holds something already; choose another folder')
    make_folder(out)
    made = Made()
    rows: list[list[NDArray[Any]]] = []
    entries: list[tuple[Entry, list[Entry]]] = []
    for index in range(len(what.backgrounds) if what.count is None else what.count):
        background = what.backgrounds[index % len(what.backgrounds)]
        try:
            pixels = shrink(read_image(background.path), what.longest)
        except ImageError as error:
            made.failures.append(str(error))
            continue
        random = random_of(what.seed, str(index))
        nothing = np.zeros((0, *pixels.shape[:2]), bool)
        pasted = paste_some(pixels, nothing, np.zeros((0, 4)), what.bank, what.rules, random)
        name = f'{index:06d}.{what.format}'
        write_bytes(out / 'images' / name, encode_image(pasted.image, f'.{what.format}', what.quality))
        entries.append(entries_of(pasted, name, background.shown, what.bank.class_names))
        if len(rows) < SHEET_ROWS:
            rows.append([to_height(one) for one in (pixels, pasted.image, annotated(pasted, what.bank.class_names))])
    if not entries:
        raise SetupError(f'no background can be used: {made.failures[0]}')
    write_image(out / 'contact_sheet.jpg', make_sheet(COLUMNS, rows))
    write_bytes(out / 'annotations.json', (json.dumps(coco_of(entries, what.bank.class_names)) + '\n').encode())
    made.images, made.instances = len(entries), sum(len(found) for _, found in entries)
    return made


def shrink(pixels: NDArray[np.uint8], longest: int | None) -> NDArray[np.uint8]:
    """The image, its longer side at most `longest` pixels."""
    factor = (longest or max(pixels.shape)) / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def instances_of(pasted: Pasted, class_names: Sequence[str]) -> Instances:
    labels = torch.tensor([class_names.index(item.class_name) for item in pasted.items], dtype=torch.int64)
    return Instances(torch.from_numpy(pasted.masks), labels, torch.ones(len(pasted.items)), class_names)


def annotated(pasted: Pasted, class_names: Sequence[str]) -> NDArray[Any]:
    """The overlay of the pasted instances, uint8 (H, W, 3)."""
    return overlay(torch.from_numpy(pasted.image), instances_of(pasted, class_names)).numpy()


def entries_of(pasted: Pasted, name: str, background: str, class_names: Sequence[str]) -> tuple[Entry, list[Entry]]:
    """The image's entry and those of its annotations, without ids; `category_id` is still the label."""
    height, width = pasted.image.shape[:2]
    image = {'file_name': name, 'height': height, 'width': width, 'background': os.path.basename(background)}
    found = []
    for item, entry in zip(pasted.items, predictions(instances_of(pasted, class_names)), strict=True):
        entry.pop('score')
        found.append({**entry, 'crop': item.file, 'licence': item.licence})
    return image, found


def coco_of(entries: Sequence[tuple[Entry, list[Entry]]], class_names: Sequence[str]) -> Entry:
    """The data set."""
    ids = category_ids(class_names)
    numbered = list(number(entries, ids))
    return {
        'info': {'description': 'Instances of a bank on backgrounds', 'contributor': f'solo_bg {__version__}'},
        'licenses': [],
        'categories': [{'id': ids[label], 'name': name} for label, name in enumerate(class_names)],
        'images': [image for image, _ in numbered],
        'annotations': [one for _, found in numbered for one in found],
    }
