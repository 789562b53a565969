"""A bank of instances: the crops that the style `instances` wrote, and their index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from solo_bg.disk.read import read_with_alpha
from solo_bg.errors import SetupError

INDEX = 'instances.jsonl'


@dataclass(frozen=True)
class Item:
    """One line of the index.

    Attributes:
        file: the crop, relative to the bank's folder.
        class_name: its class.
        box: of the crop in its source image, xyxy in pixels, half-open.
        image_size: height and width of the source image.
        image: the source image, as the run named it.
        licence: address or name of the source image's licence, or None.
    """

    file: str
    class_name: str
    box: tuple[int, int, int, int]
    image_size: tuple[int, int]
    image: str
    licence: str | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0


class Bank:
    """Crops to draw from.

    Args:
        folder: what the items' files are relative to.
        items: at least one.
    """

    def __init__(self, folder: Path, items: Sequence[Item]) -> None:
        self.folder = folder
        self.items = items
        self.class_names = tuple(sorted({item.class_name for item in items}))

    @classmethod
    def from_path(
        cls,
        path: Path,
        classes: Sequence[str] | None = None,
        score_thr: float = 0.0,
        smallest: int = 16,
        whole: bool = True,
    ) -> Bank:
        """Read the index of a run with `--styles instances`. Instances of crowds are left out.

        Args:
            path: the run's output folder, or the index itself.
            classes: take only instances of these classes; None: of all.
            score_thr: take only instances with a higher score.
            smallest: leave out crops whose shorter side has fewer pixels.
            whole: leave out crops that touch the border of their image, since their object may be cut there.

        Raises:
            SetupError: the index cannot be read, or no instance is left.
        """
        index = path / INDEX if path.is_dir() else path
        rows = read_index(index)
        kept = [
            item_of(row)
            for row in rows
            if row['score'] > score_thr
            and not row.get('crowd')
            and not (whole and row.get('at_edge'))
            and min(row['width'], row['height']) >= smallest
            and (classes is None or row['class'] in classes)
        ]
        if not kept:
            known = ', '.join(sorted({str(row['class']) for row in rows})) or 'none'
            wanted = [f'a score above {score_thr}', f'sides of at least {smallest} pixels']
            if classes is not None:
                wanted.append(f'one of the classes {", ".join(classes)} (the index has {known})')
            if whole:
                wanted.append('no part at the border of their image')
            raise SetupError(
                f'{index}: none of its {len(rows)} instances can be used; expected some with {", ".join(wanted)}'
            )
        return cls(index.parent, kept)

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, random: Generator) -> Item:
        """A random item: first a class, then one of its instances, so that a rare class comes as often as another."""
        name = self.class_names[int(random.integers(len(self.class_names)))]
        of_class = [item for item in self.items if item.class_name == name]
        return of_class[int(random.integers(len(of_class)))]

    def read(self, item: Item) -> NDArray[np.uint8]:
        """The pixels of a crop, uint8 (h, w, 4), BGRA. Raises ImageError where its file cannot be read."""
        return read_with_alpha(self.folder / item.file)


def read_index(path: Path) -> list[dict[str, Any]]:
    """The lines of an index. Raises SetupError where one cannot be used."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    except (OSError, ValueError) as error:
        raise SetupError(
            f'{path} cannot be read as an index of instances: {error}; make one with --styles instances'
        ) from error
    needed = {'file', 'class', 'score', 'box', 'width', 'height', 'image', 'image_width', 'image_height'}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not needed <= row.keys():
            raise SetupError(f'{path}, line {number}: expected an object with {", ".join(sorted(needed))}')
    return rows


def item_of(row: dict[str, Any]) -> Item:
    x0, y0, x1, y1 = map(int, row['box'])
    size = int(row['image_height']), int(row['image_width'])
    return Item(str(row['file']), str(row['class']), (x0, y0, x1, y1), size, str(row['image']), row.get('licence'))
