"""One picture of a run: original | overlay | eliminated, a row an image.

    python tools/contact_sheet.py OUT [-o SHEET]

reads OUT/manifest.jsonl, from the folder where the run was started, and writes OUT/contact_sheet.png.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from solo_bg.disk.read import read_image
from solo_bg.disk.write import write_image
from solo_bg.errors import ImageError
from solo_bg.runs.journal import MANIFEST

COLUMNS = ('original', 'overlay', 'eliminated')
HEIGHT, GAP = 240, 6
WHITE = 255


def load_rows(out: Path) -> list[list[np.ndarray]]:
    """The pictures of each image that has them, all of one height."""
    rows = []
    for line in (out / MANIFEST).read_text().splitlines():
        record = json.loads(line)
        if not {'overlay', 'eliminated'} <= set(record['outputs']):
            continue
        paths = [Path(record['input']), *(out / record['outputs'][style] for style in COLUMNS[1:])]
        rows.append([to_height(read_image(path)) for path in paths])
    return rows


def to_height(picture: np.ndarray) -> np.ndarray:
    width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
    return cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA)


def paste(rows: list[list[np.ndarray]]) -> np.ndarray:
    """The rows on a white sheet, each column as wide as its widest picture, under the columns' names."""
    widths = [max(row[column].shape[1] for row in rows) for column in range(len(COLUMNS))]
    lefts = [GAP + sum(widths[:column]) + GAP * column for column in range(len(COLUMNS))]
    top = 22
    sheet = np.full((top + len(rows) * (HEIGHT + GAP), lefts[-1] + widths[-1] + GAP, 3), WHITE, np.uint8)
    for left, name in zip(lefts, COLUMNS, strict=True):
        cv2.putText(sheet, name, (left, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    for number, row in enumerate(rows):
        y = top + number * (HEIGHT + GAP)
        for left, picture in zip(lefts, row, strict=True):
            sheet[y : y + HEIGHT, left : left + picture.shape[1]] = picture
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='the OUT of a run that wrote overlay and eliminated')
    parser.add_argument('-o', '--sheet', type=Path, help='where to write it (OUT/contact_sheet.png)')
    args = parser.parse_args()
    try:
        rows = load_rows(args.out)
    except (OSError, ImageError) as error:
        parser.error(f'{args.out} holds no run that can be read: {error}')
    if not rows:
        parser.error(f'{args.out}/{MANIFEST} lists no image with an overlay and an eliminated picture')
    sheet = args.sheet or args.out / 'contact_sheet.png'
    write_image(sheet, paste(rows))
    print(f'{len(rows)} images on {sheet}')


if __name__ == '__main__':
    main()
