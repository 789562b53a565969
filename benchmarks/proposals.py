"""`run.py proposals`: how well the masks of several models cover the objects, whatever their classes, and how fast."""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from proposal_pictures import draw_embeddings, draw_maps, strip
from rich.console import Console
from rich.table import Table
from sources import put_into

from solo_bg import Instances, Segmenter
from solo_bg.coco.dataset import Annotations
from solo_bg.coco.rle import encode
from solo_bg.disk.read import read_image
from solo_bg.disk.write import write_image
from solo_bg.mmdet_plugin.instance_fcn import InstanceFCN
from solo_bg.mmdet_plugin.metrics import AREAS, MOST, average_recalls, ground_truth
from solo_bg.mmdet_plugin.pixel_embeddings import PixelEmbeddings
from solo_bg.mmdet_plugin.region_ap import RegionAP
from solo_bg.models.config import choose_config, keep_proposals

COUNTS = (10, 100, 1000)
NO_MODEL = 'selective-search'
MARKS = '<!-- made by benchmarks/run.py proposals -->\n', '<!-- end of what it made -->\n'
Finder = Callable[[Sequence[Any]], list[Instances]]


def proposals(args: argparse.Namespace) -> None:
    """Measure average recall, its AUC by size, mAP^r, and the processor seconds an image, of the best 1000 masks."""
    annotations = Annotations.from_file(args.annotations)
    images = annotations.coco['images'][: args.limit]
    coco = ground_truth(annotations)
    sizes = count_by_size(coco)
    rows, strips = {}, []
    for model in args.models:
        name, _, files = model.partition('=')
        finder = load(files, args.device)
        precision = RegionAP(str(args.annotations))
        results, start = [], time.process_time()
        for index, image in enumerate(images):
            pixels = read_image(args.images / image['file_name'])
            (found,) = finder([pixels])
            codes = encode(found)[:MOST]
            scored = zip(codes, found.scores.tolist(), strict=False)
            results.append((image['id'], [{'image_id': image['id'], 'segmentation': c, 'score': s} for c, s in scored]))
            kept = {'masks': codes, 'labels': found.labels[:MOST], 'scores': found.scores[:MOST]}
            precision.process(None, [{'pred_instances': kept, 'img_id': image['id']}])
            if index == args.show:
                strips.append(strip(name, pixels, found))
        seconds = (time.process_time() - start) / len(images)
        recalls = average_recalls(coco, results)
        rows[name] = {f'AR@{count}': float(recalls['all'][count - 1]) for count in COUNTS}
        rows[name] |= {f'AUC {area}': float(recalls[area].mean()) if sizes[area] else math.nan for area in AREAS}
        known = files != NO_MODEL and set(finder.class_names) == set(annotations.class_names)
        for column, value in precision.evaluate(len(images)).items():
            rows[name][column.removeprefix('region/')] = value if known else math.nan
        rows[name]['s'] = seconds
        draw_inside(finder, read_image(args.images / images[args.show]['file_name']), args)
        print(f'{name}: AR@100 {rows[name]["AR@100"]:.3f}, {seconds:.2f} s an image', flush=True)
    report(rows, args)
    if strips:
        write_image(args.picture, np.concatenate(strips), 85)
        print(f'wrote {args.picture}')
    if args.document:
        picture = os.path.relpath(args.picture, args.document.parent)
        lines = [*markdown(rows, len(images), coco), '', f'![The ten best masks of each on one image]({picture})']
        put_into(args.document, '\n'.join(lines) + '\n', MARKS)


def load(files: str, device: str) -> Any:
    """What finds the instances of images: `selective-search`, or a model, given as `CONFIG,CHECKPOINT`, that keeps as
    many masks as are measured. CONFIG may be `auto`, the one in the checkpoint."""
    if files == NO_MODEL:
        from selective_search import selective_search  # needs scikit-image

        return selective_search
    config, _, checkpoint = files.partition(',')
    given = choose_config(config, checkpoint, {})
    keep_proposals(given)
    return Segmenter(given, checkpoint, device)


def draw_inside(finder: Any, pixels: Any, args: argparse.Namespace) -> None:
    """Write a picture of what is particular to a model: InstanceFCN's score maps, or the embeddings of pixels."""
    model = getattr(finder, 'model', None)
    if isinstance(model, InstanceFCN):
        draw_maps(finder, pixels, args.maps)
    elif isinstance(model, PixelEmbeddings):
        draw_embeddings(finder, pixels, args.embeddings)


def report(rows: dict[str, dict[str, float]], args: argparse.Namespace) -> None:
    """Print the table and write it as JSON."""
    table = Table('model', *next(iter(rows.values())))
    for model, row in rows.items():
        table.add_row(model, *map(as_text, row.values()))
    Console(width=150).print(table)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(rows, indent=1))
    print(f'wrote {args.json}')


def as_text(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.3f}'


def count_by_size(coco: Any) -> dict[str, int]:
    """How many objects there are of each size, and in all; crowds do not count."""
    areas = np.array([one['area'] for one in coco.anns.values() if not one['iscrowd']])
    small, large = int((areas < 32**2).sum()), int((areas >= 96**2).sum())
    return {'all': len(areas), 'S': small, 'M': len(areas) - small - large, 'L': large}


def markdown(rows: dict[str, dict[str, float]], count: int, coco: Any) -> list[str]:
    """The table, and what it was measured on."""
    sizes, names = count_by_size(coco), list(next(iter(rows.values())))
    return [
        f'{count} images with {sizes["all"]} objects: {sizes["S"]} small (S), {sizes["M"]} medium (M) and {sizes["L"]}',
        'large (L) ones by the limits of COCO. "s" is processor seconds an image.',
        '',
        f'| | {" | ".join(names)} |',
        '|---' * (len(names) + 1) + '|',
        *(f'| {model} | {" | ".join(map(as_text, row.values()))} |' for model, row in rows.items()),
    ]
