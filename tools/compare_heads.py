"""Compare mmdet's own SOLO head with this package's lazy head on a COCO data set: mask AP, and images a second.

    python tools/compare_heads.py CONFIG CHECKPOINT ANNOTATIONS.json IMAGES/

For example, with the weights that mmdet publishes for SOLO R50:

    python tools/compare_heads.py solo_r50_fpn_1x_coco auto data/coco/annotations/instances_val2017.json \
        data/coco/val2017

Prints a table in Markdown. Both heads have the same weights and process each image in turn. The time is that of the
model, from the prepared image to its instances, without reading and resizing; the first image is not measured.
"""

import argparse
import contextlib
import io
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from launch import main_of
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solo_bg import Segmenter
from solo_bg.cli.values import count
from solo_bg.coco.dataset import Annotations
from solo_bg.coco.pseudo_labels import predictions
from solo_bg.disk.read import read_image
from solo_bg.errors import ImageError, SetupError

STATS = {'mask AP': 0, 'AP50': 1, 'small': 3, 'medium': 4, 'large': 5}  # positions in COCOeval.stats


@dataclass
class Side:
    """One of the heads that are compared: what it found, in COCO's form, and the seconds that it took."""

    segmenter: Segmenter
    found: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def read_coco(path: Path) -> COCO:
    """The data set of a file. Raises SetupError where it is none, which pycocotools would show as a traceback."""
    coco = COCO()
    coco.dataset = Annotations.from_file(path).coco
    if not coco.dataset['images']:
        raise SetupError(f'{path} lists no images')
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def compare(sides: list[Side], coco: COCO, images: Path, image_ids: list[int], categories: list[int | None]) -> None:
    """Run both heads over the images; `categories` holds the COCO id of each label, None for one to leave out.

    Raises:
        SetupError: an image cannot be read. Leaving it out would change the AP.
    """
    for number, image_id in enumerate(image_ids):
        try:
            image = read_image(images / coco.imgs[image_id]['file_name'])
        except ImageError as error:
            raise SetupError(str(error)) from error
        for side in sides:
            prepared = side.segmenter.prepare(image)
            if not number:
                side.segmenter.segment([prepared])
            start = time.perf_counter()
            (instances,) = side.segmenter.segment([prepared])
            if instances.device.type == 'cuda':
                torch.cuda.synchronize(instances.device)
            side.seconds += time.perf_counter() - start
            for one in predictions(instances.to('cpu')):
                category = categories[one['category_id']]
                if category is not None:
                    side.found.append({**one, 'image_id': image_id, 'category_id': category})


def match_categories(coco: COCO, class_names: tuple[str, ...], ignore_classes: bool) -> list[int | None]:
    """The id of each label's category, found by its name, or of any category if classes are ignored."""
    ids = {category['name']: category['id'] for category in coco.cats.values()}
    if ignore_classes:
        return [next(iter(ids.values()))] * len(class_names)
    if not set(ids) & set(class_names):
        raise SetupError(
            f'no class of the model is a category of the annotations: {", ".join(class_names[:3])} ... and '
            f'{", ".join(list(ids)[:3])} ...; use weights for these categories, or --ignore-classes'
        )
    return [ids.get(name) for name in class_names]


def average_precision(
    coco: COCO, found: list[dict[str, Any]], image_ids: list[int], ignore_classes: bool = False
) -> dict[str, float]:
    """COCO's mask AP, by the names of STATS; -1 where no object has the size, and 0 without detections."""
    if not found:
        return dict.fromkeys(STATS, 0.0)
    # with a box, pycocotools would take the box's area for the mask's; it also adds to what it is given
    masks = [{key: one[key] for key in ('image_id', 'category_id', 'segmentation', 'score')} for one in found]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset.setdefault('info', {})
        evaluation = COCOeval(coco, coco.loadRes(masks), 'segm')
        evaluation.params.imgIds = image_ids
        evaluation.params.useCats = int(not ignore_classes)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[position]) for name, position in STATS.items()}


def make_rows(name: str, sides: list[Side], precisions: list[dict[str, float]], images: int) -> list[str]:
    """The heading and the row of a table in Markdown. Each cell has mmdet's figure, then this package's."""
    device = sides[0].segmenter.device
    hardware = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{torch.get_num_threads()} threads'
    cells = [' / '.join(f'{one[column]:.4f}' for one in precisions) for column in STATS]
    rates = [images / side.seconds for side in sides]
    rate = f'{rates[0]:.2f} / {rates[1]:.2f} ({rates[1] / rates[0]:.2f}x)'
    settings = [', '.join(dict.fromkeys([side.segmenter.precision, side.segmenter.backend])) for side in sides]
    machine = f'{hardware} ({platform.machine()}), {" / ".join(dict.fromkeys(settings))}'
    heading = ['model', 'images', *STATS, 'images/s', 'on']
    row = [name, str(images), *cells, rate, machine]
    return [f'| {" | ".join(one)} |' for one in (heading, ['---'] * len(heading), row)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a config with one of the SOLO heads, or the name of a model of mmdet')
    parser.add_argument('checkpoint', help='its weights, or auto to download them')
    parser.add_argument('annotations', type=Path, help='COCO annotations, such as instances_val2017.json')
    parser.add_argument('images', type=Path, help='folder of their images')
    parser.add_argument('--limit', type=count, metavar='N', help='use only the first N images (default: all)')
    parser.add_argument('--ignore-classes', action='store_true', help='for a model of other classes than the data set')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--backend', default='auto', help='backend of the lazy head: torch, openvino or auto')
    args = parser.parse_args()

    coco = read_coco(args.annotations)
    given = (args.config, args.checkpoint, args.device)
    stock = Segmenter(*given, precision=args.precision, lazy=False)
    lazy = Segmenter(*given, precision=args.precision, backend=args.backend)
    if not lazy.lazy:
        raise SetupError(f'{args.config} has no SOLO head of mmdet, so there is no lazy head to compare')
    lazy.model.mask_head.test_cfg.nms_across_classes = False  # mmdet's head does not know this setting
    sides, image_ids = [Side(stock), Side(lazy)], sorted(coco.imgs)[: args.limit]
    compare(sides, coco, args.images, image_ids, match_categories(coco, lazy.class_names, args.ignore_classes))
    precisions = [average_precision(coco, side.found, image_ids, args.ignore_classes) for side in sides]
    print('\n'.join(make_rows(Path(args.config).stem, sides, precisions, len(image_ids))))


if __name__ == '__main__':
    main_of(main)
