"""A contact sheet: rows of pictures under the names of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]  # uint8 (h, w, 3), BGR
HEIGHT, GAP, TOP = 240, 6, 22  # pixels: of a picture, between pictures, above the first row
WHITE = 255


def to_height(picture: Picture) -> Picture:
    """The picture, HEIGHT pixels high."""
    width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
    return cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA)


def make_sheet(columns: Sequence[str], rows: Sequence[Sequence[Picture]]) -> Picture:
    """The rows on white, each column as wide as its widest picture. All pictures are HEIGHT pixels high."""
    widths = [max(row[column].shape[1] for row in rows) for column in range(len(columns))]
    lefts = [GAP + sum(widths[:column]) + GAP * column for column in range(len(columns))]
    sheet = np.full((TOP + len(rows) * (HEIGHT + GAP), lefts[-1] + widths[-1] + GAP, 3), WHITE, np.uint8)
    for left, name in zip(lefts, columns, strict=True):
        cv2.putText(sheet, name, (left, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    for number, row in enumerate(rows):
        y = TOP + number * (HEIGHT + GAP)
        for left, picture in zip(lefts, row, strict=True):
            sheet[y : y + HEIGHT, left : left + picture.shape[1]] = picture
    return sheet
