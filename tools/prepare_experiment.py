"""Make the data for tools/experiment.py from photographs and from drawn scenes.

    python tools/prepare_experiment.py instances_train2017.json train2017/ data/experiment

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
from prepare_tiny import encode, shrink, write_coco
from pycocotools.coco import COCO

from solo_bg import bundled
from solo_bg.cli import main as cli
from solo_bg.scenes import draw_scene

SEEDS = {'train': 3_000_000, 'test': 4_000_000}
GROUNDS = {'train': ('clouds', 'slope'), 'test': ('stripes', 'checks', 'spots')}


def split_photos(ann_file: Path, images: Path, out: Path, test_every: int = 5) -> None:
    """Shrink the photographs and keep every `test_every`-th one, by image id, for testing.

    This is the split of tools/prepare_tiny.py, so the bundled model was not trained on the test photographs.
    """
    coco = COCO(str(ann_file))
    parts: dict[str, tuple[list[dict], list[dict]]] = {'train': ([], []), 'test': ([], [])}
    for position, image_id in enumerate(sorted(coco.imgs)):
        part, image, found = 'train' if position % test_every else 'test', coco.imgs[image_id], coco.imgToAnns[image_id]
        name = Path(image['file_name']).with_suffix('.png').name
        (out / part).mkdir(parents=True, exist_ok=True)
        masks = [coco.annToMask(one) for one in found]
        size = shrink(images / image['file_name'], out / part / name, masks)
        masks = [cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in masks]
        parts[part][0].append({'id': image_id, 'file_name': name, 'width': size[0], 'height': size[1]})
        parts[part][1].extend(
            {'image_id': image_id, 'category_id': 1, 'iscrowd': one.get('iscrowd', 0), **encode(mask)}
            for one, mask in zip(found, masks, strict=True)
            if mask.any()
        )
    for name, (chosen, annotations) in parts.items():
        write_coco(out / f'{name}.json', chosen, annotations)


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
    write_coco(out / f'{part}.json', images, annotations)


def eliminate(data: Path) -> None:
    """Write the versions without background, with the command `eliminate_bg`."""
    common = ['--styles', 'eliminated', '--on-empty', 'black', '--quiet']
    by_labels = {
        'train_zero': ['train', '--fill', 'zero'],
        'train_fills': ['train', '--mix', 'mean:1,noise:1,blur:1'],
        'test_gt': ['test'],
    }
    for name, (part, *options) in by_labels.items():
        ann = ['--source', 'gt', '--ann', str(data / f'{part}.json')]
        assert cli.main([str(data / part), *ann, '-o', str(data / name), *common, *options]) == 0
    model = [str(bundled.CONFIG), str(bundled.CHECKPOINT)]
    assert cli.main([*model, str(data / 'test'), '-o', str(data / 'test_model'), *common]) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path, help='COCO annotations of the photographs')
    parser.add_argument('images', type=Path, help='folder of the photographs')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--scenes', type=int, default=400, help='number of drawn training scenes (default: 400)')
    parser.add_argument('--test-scenes', type=int, default=60, help='number of drawn test scenes (default: 60)')
    args = parser.parse_args()
    split_photos(args.annotations, args.images, args.out / 'photos')
    draw_scenes(args.out / 'scenes', 'train', args.scenes)
    draw_scenes(args.out / 'scenes', 'test', args.test_scenes)
    for data in ('photos', 'scenes'):
        eliminate(args.out / data)


if __name__ == '__main__':
    main()
