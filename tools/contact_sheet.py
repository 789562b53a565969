"""Draw a contact sheet of a run: original, overlay and eliminated picture, one row for each image.

    python tools/contact_sheet.py OUT [-o SHEET]

reads OUT/manifest.jsonl, from the folder where the run was started, and writes OUT/contact_sheet.png.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from solo_bg.disk.read import read_image
from solo_bg.disk.write import write_image
from solo_bg.draw.sheet import make_sheet, to_height
from solo_bg.errors import ImageError
from solo_bg.runs.journal import MANIFEST

COLUMNS = ('original', 'overlay', 'eliminated')


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='the OUT of a run that wrote overlay and eliminated')
    parser.add_argument('-o', '--sheet', type=Path, help='file to write (default: OUT/contact_sheet.png)')
    args = parser.parse_args()
    try:
        rows = load_rows(args.out)
    except (OSError, ImageError) as error:
        parser.error(f'{args.out} holds no run that can be read: {error}')
    if not rows:
        parser.error(f'{args.out}/{MANIFEST} lists no image with an overlay and an eliminated picture')
    sheet = args.sheet or args.out / 'contact_sheet.png'
    write_image(sheet, make_sheet(COLUMNS, rows))
    print(f'{len(rows)} images on {sheet}')


if __name__ == '__main__':
    main()
