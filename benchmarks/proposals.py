"""`run.py proposals`: how well the masks of several models cover the objects, whatever their classes, and how fast."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from solo_bg import Instances, Segmenter
from solo_bg.coco.dataset import Annotations
from solo_bg.coco.rle import encode
from solo_bg.disk.read import read_image
from solo_bg.disk.write import write_image
from solo_bg.mmdet_plugin.instance_fcn import InstanceFCN
from solo_bg.mmdet_plugin.metrics import AREAS, MOST, average_recalls, ground_truth
from solo_bg.models.config import choose_config, keep_proposals

COUNTS = (10, 100, 1000)
SHOWN, HEIGHT = 10, 120  # proposals of each model on the picture, and their height in pixels
Picture = NDArray[np.uint8]


def proposals(args: argparse.Namespace) -> None:
    """Measure average recall, its AUC by size, and the seconds an image of each model's best 1000 masks."""
    annotations = Annotations.from_file(args.annotations)
    images = annotations.coco['images'][: args.limit]
    coco = ground_truth(annotations)
    rows, strips = {}, []
    for model in args.models:
        name, _, files = model.partition('=')
        config, _, checkpoint = files.partition(',')
        segmenter = load(config, checkpoint, args.device)
        results, seconds = [], 0.0
        for index, image in enumerate(images):
            pixels = read_image(args.images / image['file_name'])
            start = time.perf_counter()
            (found,) = segmenter([pixels])
            seconds += time.perf_counter() - start
            scored = zip(encode(found), found.scores.tolist(), strict=True)
            coded = [{'image_id': image['id'], 'segmentation': code, 'score': score} for code, score in scored]
            results.append((image['id'], coded[:MOST]))
            if index == args.show:
                strips.append(strip(name, pixels, found))
                draw_maps(segmenter, pixels, args.maps)
        recalls = average_recalls(coco, results)
        rows[name] = {f'AR@{count}': recalls['all'][count - 1] for count in COUNTS}
        rows[name] |= {f'AUC{"" if area == "all" else area}': recalls[area].mean() for area in AREAS}
        rows[name] |= {'seconds': seconds / len(images)}
    report(rows, args)
    if strips:
        write_image(args.picture, np.concatenate(strips))
        print(f'wrote {args.picture}')


def load(config: str, checkpoint: str, device: str) -> Segmenter:
    """A model that keeps as many masks as are measured. `config` may be `auto`, the one in the checkpoint."""
    given = choose_config(config, checkpoint, {})
    keep_proposals(given)
    return Segmenter(given, checkpoint, device)


def report(rows: dict[str, dict[str, float]], args: argparse.Namespace) -> None:
    """Print the table and write it as JSON."""
    names = list(next(iter(rows.values())))
    table = Table('model', *names)
    for model, row in rows.items():
        table.add_row(model, *(f'{value:.3f}' for value in row.values()))
    Console().print(table)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(rows, indent=1))
    print(f'wrote {args.json}')


def strip(name: str, image: Picture, found: Instances) -> Picture:
    """A model's best masks on one image, side by side: each as it is on the darkened image, its score below."""
    size = (round(image.shape[1] * HEIGHT / image.shape[0]), HEIGHT)
    panels = []
    for number in range(SHOWN):
        shown = image // 4
        text = ''
        if number < len(found):
            mask = found[number].masks[0].cpu().numpy()
            shown = np.where(mask[..., None], image, shown)
            text = f'{float(found.scores[number]):.2f}'
        panel: Any = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
        cv2.putText(panel, text, (4, HEIGHT - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
        panels.append(panel)
    row: Picture = np.concatenate(panels, 1)
    title = np.zeros((18, row.shape[1], 3), np.uint8)
    cv2.putText(title, name, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([title, row])


def draw_maps(segmenter: Segmenter, image: Picture, path: Path) -> None:
    """Write InstanceFCN's score maps of one image as a grid, one panel for each part of an instance, at the scale whose
    best window scores highest. Other models have none."""
    if not isinstance(segmenter.model, InstanceFCN):
        return
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = segmenter.model.mask_head.register_forward_hook(lambda *call: seen.append(call[-1]))
    segmenter([image])
    hook.remove()
    maps, _ = max(seen, key=lambda output: float(output[1].max()))
    values = (maps[0].sigmoid() * 255).byte().cpu().numpy()
    parts = segmenter.model.mask_head.parts
    size = (round(values.shape[2] * HEIGHT / values.shape[1]), HEIGHT)
    panels = [cv2.applyColorMap(cv2.resize(one, size), cv2.COLORMAP_VIRIDIS) for one in values]
    panels = [cv2.copyMakeBorder(one, 2, 2, 2, 2, cv2.BORDER_CONSTANT) for one in panels]
    lines = [np.concatenate(panels[row * parts : (row + 1) * parts], 1) for row in range(parts)]
    write_image(path, np.concatenate(lines))
    print(f'wrote {path}')
