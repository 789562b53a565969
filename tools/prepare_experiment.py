"""Make the data for tools/experiment.py from photographs and from drawn scenes.

    python tools/prepare_experiment.py data/experiment --classes person animal vehicle \\
        --photos coco-mini/annotations/instances_train2017.json coco-mini/train2017 5

It writes OUT/photos and OUT/scenes. Each holds:

    train/, train.json              training images and their annotations, with one class
    train_zero/                     training images with their background set to zero
    train_fills/                    training images with their background filled with the mean colour, noise or blur
    test/, test.json                test images and their annotations
    test_gt/, test_model/           test images with the background eliminated by the annotations; by the bundled model

The backgrounds of training scenes are clouds and gradients, those of test scenes stripes, checks and spots.
"""

import argparse
from pathlib import Path

import cv2
from prepare_tiny import CLASSES, SUPERCATEGORIES, class_ids, encode, shrink, write_coco
from pycocotools.coco import COCO

from solo_bg import bundled
from solo_bg.cli import main as cli
from solo_bg.scenes import draw_scene

SEEDS = {'train': 3_000_000, 'test': 4_000_000}
GROUNDS = {'train': ('clouds', 'slope'), 'test': ('stripes', 'checks', 'spots')}


def split_photos(sources: list[tuple[Path, Path, int]], classes: list[str], out: Path) -> None:
    """Shrink the photographs that show one of `classes`; of each source every N-th one, by image id, is for testing.

    That is how tools/prepare_tiny.py splits them, so the bundled model was not trained on the test photographs.
    `classes` are supercategories of COCO.
    """
    parts: dict[str, tuple[list[dict], list[dict]]] = {'train': ([], []), 'test': ([], [])}
    for ann_file, folder, test_every in sources:
        coco = COCO(str(ann_file))
        numbers = [CLASSES.index(name) + 1 for name in classes]
        wanted = {category for category, number in class_ids(coco).items() if number in numbers}
        for position, image_id in enumerate(sorted(coco.imgs)):
            found = [one for one in coco.imgToAnns[image_id] if one['category_id'] in wanted]
            if not found:
                continue
            part = 'train' if position % test_every else 'test'
            images, annotations = parts[part]
            number, source = len(images) + 1, coco.imgs[image_id]['file_name']
            (out / part).mkdir(parents=True, exist_ok=True)
            width, height = shrink(folder / source, out / part / f'{number}.png')
            images.append({'id': number, 'file_name': f'{number}.png', 'width': width, 'height': height})
            for one in found:
                mask = cv2.resize(coco.annToMask(one), (width, height), interpolation=cv2.INTER_AREA)
                if mask.any():
                    crowd = one.get('iscrowd', 0)
                    annotations.append({'image_id': number, 'category_id': 1, 'iscrowd': crowd, **encode(mask)})
    for name, (images, annotations) in parts.items():
        write_coco(out / f'{name}.json', images, annotations, ['object'])


def draw_scenes(out: Path, part: str, count: int) -> None:
    """Draw `count` scenes for one part, `train` or `test`, with their annotations."""
    (out / part).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for seed in range(SEEDS[part], SEEDS[part] + count):
        image, masks = draw_scene(seed, grounds=GROUNDS[part])
        height, width = image.shape[:2]
        cv2.imwrite(str(out / part / f'{seed}.png'), image)
        images.append({'id': seed, 'file_name': f'{seed}.png', 'height': height, 'width': width})
        annotations += [{'image_id': seed, 'category_id': 1, 'iscrowd': 0, **encode(mask)} for mask in masks]
    write_coco(out / f'{part}.json', images, annotations, ['object'])


def eliminate(data: Path, classes: list[str]) -> None:
    """Write the versions without background, with the command `eliminate_bg`. The bundled model keeps `classes`."""
    common = ['--styles', 'eliminated', '--on-empty', 'black', '--quiet']
    by_labels = {
        'train_zero': ['train', '--fill', 'zero'],
        'train_fills': ['train', '--mix', 'mean:1,noise:1,blur:1'],
        'test_gt': ['test'],
    }
    for name, (part, *options) in by_labels.items():
        ann = ['--source', 'gt', '--ann', str(data / f'{part}.json')]
        assert cli.main([str(data / part), *ann, '-o', str(data / name), *common, *options]) == 0
    model = [str(bundled.CONFIG), str(bundled.CHECKPOINT), *(['--classes', ','.join(classes)] if classes else [])]
    assert cli.main([*model, str(data / 'test'), '-o', str(data / 'test_model'), *common]) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--photos', nargs=3, action='append', default=[], metavar=('JSON', 'IMAGES', 'N'),
        help='COCO annotations and folder of photographs, of which every N-th is for testing; may be repeated',
    )  # fmt: skip
    classes = 'supercategories of COCO that are kept, as one class (default: person animal vehicle)'
    chosen = ['person', 'animal', 'vehicle']
    parser.add_argument('--classes', nargs='+', choices=SUPERCATEGORIES, default=chosen, help=classes)
    parser.add_argument('--scenes', type=int, default=400, help='number of drawn training scenes (default: 400)')
    parser.add_argument('--test-scenes', type=int, default=60, help='number of drawn test scenes (default: 60)')
    args = parser.parse_args()
    photos = [(Path(ann_file), Path(images), int(test_every)) for ann_file, images, test_every in args.photos]
    if photos:
        split_photos(photos, args.classes, args.out / 'photos')
        eliminate(args.out / 'photos', args.classes)
    if args.scenes:
        draw_scenes(args.out / 'scenes', 'train', args.scenes)
        draw_scenes(args.out / 'scenes', 'test', args.test_scenes)
        eliminate(args.out / 'scenes', [])


if __name__ == '__main__':
    main()
