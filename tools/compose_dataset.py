"""Make a COCO data set from a bank of instances and a folder of backgrounds. The same seed gives the same bytes.

    python tools/eliminate_bg.py CONFIG CHECKPOINT photos/ --styles instances -o bank
    python tools/compose_dataset.py bank backgrounds/ -o composed --count 1000

writes composed/images, composed/annotations.json and composed/contact_sheet.jpg.
"""

import argparse
import sys
from pathlib import Path

from solo_bg.bank.bank import Bank
from solo_bg.bank.dataset import Composition, compose_dataset
from solo_bg.bank.place import POSITIONS, SIZES, Rules
from solo_bg.cli.values import count, fraction, names, percent, whole
from solo_bg.disk.formats import FORMATS
from solo_bg.disk.inputs import list_images

PLAIN = Rules()


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option('bank', type=Path, help='OUT of a run with --styles instances, or its instances.jsonl')
    option('backgrounds', help='folder of images, @list.txt or one image; they should show no object of these classes')
    option('-o', '--out', type=Path, required=True, help='folder of the data set; new or empty')
    option('--count', type=count, help='number of images (default: one for each background)')
    option('--seed', type=whole, default=0, help='random seed (default: 0)')
    option(
        '--longest', type=count, metavar='PX', help='scale larger backgrounds down to this longer side (default: keep)'
    )
    option('--format', choices=FORMATS, default='png', help='file format of the images (default: png)')
    option('--quality', type=percent, default=95, help='JPEG quality, 1 to 100 (default: 95)')
    bank = parser.add_argument_group('instances of the bank').add_argument
    bank('--classes', type=names, metavar='A,B', help='take only these classes (default: all)')
    bank('--score-thr', type=fraction, default=0.0, help='take instances with a higher score (default: 0)')
    bank('--smallest', type=whole, default=16, help='smallest shorter side of a crop, in pixels (default: 16)')
    bank('--cut', action='store_true', help='also take instances that touch the border of their image')
    rule = parser.add_argument_group('rules of pasting').add_argument
    pair = 'LOW', 'HIGH'
    rule(
        '--instances',
        type=int,
        default=PLAIN.count,
        nargs=2,
        metavar=pair,
        help='fewest and most in an image (default: 1 4)',
    )
    rule(
        '--size',
        choices=SIZES,
        default=PLAIN.size,
        help='what an instance keeps: its share of the image, or its pixels (default: share)',
    )
    rule(
        '--scale',
        type=float,
        default=PLAIN.scale,
        nargs=2,
        metavar=pair,
        help='factor on the size (default: 0.5 1.5)',
    )
    rule('--position', choices=POSITIONS, default=PLAIN.position, help='where instances go (default: inside)')
    rule('--feather', type=float, default=PLAIN.feather, help='width of the soft edge in pixels (default: 1)')
    rule('--hide', type=float, default=PLAIN.hide, help='largest share of an instance that is hidden (default: 0.7)')
    return parser


def main() -> int:
    args = build_parser().parse_args()
    try:
        made = compose_dataset(
            Composition(
                bank=Bank.from_path(args.bank, args.classes, args.score_thr, args.smallest, not args.cut),
                backgrounds=list_images([args.backgrounds]),
                rules=Rules(
                    count=tuple(args.instances),
                    size=args.size,
                    scale=tuple(args.scale),
                    position=args.position,
                    feather=args.feather,
                    hide=args.hide,
                ),
                count=args.count,
                seed=args.seed,
                longest=args.longest,
                format=args.format,
                quality=args.quality,
            ),
            args.out,
        )
    except ValueError as error:  # SetupError and ImageError too
        print(f'compose_dataset: error: {error}', file=sys.stderr)
        return 2
    for reason in made.failures:
        print(f'compose_dataset: {reason}', file=sys.stderr)
    print(f'{made.images} images with {made.instances} instances in {args.out}')
    return 1 if made.failures else 0


if __name__ == '__main__':
    sys.exit(main())
