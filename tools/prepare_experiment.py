"""Make the data of tools/experiment.py: photographs split in two, and drawn scenes whose halves have other grounds.

    python tools/prepare_experiment.py instances_train2017.json train2017/ data/experiment

writes OUT/photos and OUT/scenes, in each `train/` and `test/` with `train.json` and `test.json`, of one class;
`train_zero/` and `train_fills/`, the training images with their annotated objects kept (backgrounds zero; mean, noise
or blur); `test_gt/` and `test_model/`, the test images with the annotated objects kept, and with what the bundled model
finds. Scenes for training lie on clouds and slopes, those for testing on stripes, checks and spots.
"""

import argparse
import json
from pathlib import Path

import cv2
from prepare_tiny import encode, shrink, write_coco

from solo_bg.cli import main as cli
from solo_bg.cli.arguments import DEMO
from solo_bg.scenes import draw_scene

SEEDS = {'train': 3_000_000, 'test': 4_000_000}
GROUNDS = {'train': ('clouds', 'slope'), 'test': ('stripes', 'checks', 'spots')}


def split_photos(ann_file: Path, images: Path, out: Path, test_every: int = 5) -> None:
    """The split of tools/prepare_tiny.py: the bundled model has not seen the test half."""
    coco = json.loads(ann_file.read_text())
    parts: dict[str, tuple[list[dict], list[dict]]] = {'train': ([], []), 'test': ([], [])}
    for position, image in enumerate(sorted(coco['images'], key=lambda image: image['id'])):
        part = 'train' if position % test_every else 'test'
        annotations = [{**one, 'category_id': 1} for one in coco['annotations'] if one['image_id'] == image['id']]
        name = Path(image['file_name']).with_suffix('.png').name
        (out / part).mkdir(parents=True, exist_ok=True)
        image, annotations = shrink(images / image['file_name'], out / part / name, image, annotations)
        parts[part][0].append({**image, 'file_name': name})
        parts[part][1].extend(annotations)
    for name, (chosen, annotations) in parts.items():
        write_coco(out / f'{name}.json', chosen, annotations)


def draw_scenes(out: Path, part: str, count: int) -> None:
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
    """Every eliminated half, by this package's own command."""
    common = ['--styles', 'eliminated', '--on-empty', 'black', '--quiet']
    by_labels = {
        'train_zero': ['train', '--fill', 'zero'],
        'train_fills': ['train', '--mix', 'mean:1,noise:1,blur:1'],
        'test_gt': ['test'],
    }
    for name, (part, *options) in by_labels.items():
        ann = ['--source', 'gt', '--ann', str(data / f'{part}.json')]
        assert cli.main([str(data / part), *ann, '-o', str(data / name), *common, *options]) == 0
    config, checkpoint, _ = DEMO
    assert cli.main([config, checkpoint, str(data / 'test'), '-o', str(data / 'test_model'), *common]) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path)
    parser.add_argument('images', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--scenes', type=int, default=400, help='drawn scenes to train on (400)')
    parser.add_argument('--test-scenes', type=int, default=60, help='drawn scenes to test on (60)')
    args = parser.parse_args()
    split_photos(args.annotations, args.images, args.out / 'photos')
    draw_scenes(args.out / 'scenes', 'train', args.scenes)
    draw_scenes(args.out / 'scenes', 'test', args.test_scenes)
    for data in ('photos', 'scenes'):
        eliminate(args.out / data)


if __name__ == '__main__':
    main()
