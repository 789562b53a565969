"""Download weights of mmdet's models: python tools/download.py NAME... (--list shows SOLO's models)."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from solo_bg.errors import SetupError
from solo_bg.models import zoo
from solo_bg.models.find import checkpoint_folder, fetch_weights


def show(folder: Path) -> None:
    table = Table('model', 'mask AP on COCO', 'weights', 'here')
    for model in zoo.models('solo').values():
        path = folder / model.file_name
        size = f'{path.stat().st_size / 1e6:.0f} MB' if model.weights and path.exists() else ''
        table.add_row(model.name, '' if model.mask_ap is None else str(model.mask_ap), model.file_name, size)
    Console(width=160).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='a model, such as solo_r50_fpn_1x_coco')
    parser.add_argument('--list', action='store_true', help="list mmdet's SOLO models, their AP, and which are here")
    folder = checkpoint_folder()
    parser.add_argument('--folder', type=Path, default=folder, help=f'folder for the weights (default: {folder})')
    args = parser.parse_args()
    if args.list or not args.names:
        show(args.folder)
    try:
        for name in args.names:
            print(fetch_weights(zoo.find(name), args.folder))
    except SetupError as error:
        print(f'download: error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
