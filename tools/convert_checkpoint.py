"""Rename the original SOLO repository's weights for mmdet: python tools/convert_checkpoint.py IN.pth OUT.pth

`eliminate_bg` and `Segmenter` do this when they load such weights; mmdet's own tools need the converted file. It holds
the weights and their `meta`.
"""

import argparse
from pathlib import Path

import torch
from launch import main_of

from solo_bg.errors import SetupError
from solo_bg.models.checkpoint import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help="a checkpoint of the original SOLO repository's")
    parser.add_argument('target', type=Path, help='the file to write')
    args = parser.parse_args()
    if args.target.exists():
        raise SetupError(f'{args.target} exists already; choose another name')
    converted = load_checkpoint(args.source)
    if not converted.renamed:
        raise SetupError(f"{args.source} holds no weights of the original SOLO's heads; nothing to rename")
    meta = {key: value for key, value in converted.meta.items() if key != 'config'}
    torch.save({'state_dict': converted.state_dict, 'meta': meta}, args.target)
    print(f'{args.target}: {len(converted.state_dict)} weights')


if __name__ == '__main__':
    main_of(main)
