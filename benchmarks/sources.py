"""`run.py sources`: all mask sources on the same photographs, as a table and a picture; and rembg beside solo_bg."""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from solo_bg import bundled
from solo_bg.coco.dataset import Annotations
from solo_bg.disk.inputs import list_images
from solo_bg.disk.read import digest, read_image
from solo_bg.models.foreground_zoo import FOREGROUND_MODELS
from solo_bg.solo.compiled import openvino_precisions

TINY = {'config': str(bundled.CONFIG), 'checkpoint': str(bundled.CHECKPOINT)}
SHOWN = 4  # photographs in the picture
MARKS = '<!-- made by benchmarks/run.py sources -->\n', '<!-- end -->\n'
LICENCES = {  # of the published weights, as their authors state them
    'u2net': 'Apache-2.0', 'u2netp': 'Apache-2.0', 'u2net_human_seg': 'Apache-2.0', 'silueta': 'not stated',
    'u2net_cloth_seg': 'MIT', 'isnet-general-use': 'Apache-2.0', 'isnet-anime': 'Apache-2.0', 'modnet': 'Apache-2.0',
    'rvm': 'GPL-3.0', 'rvm-resnet50': 'GPL-3.0', **{name: 'MIT' for name in FOREGROUND_MODELS if 'biref' in name},
}  # fmt: skip


@dataclass
class Row:
    """A mask source as it is measured, and what was measured: IoU of the foreground and of persons, processor seconds
    an image, and megabytes."""

    name: str
    source: str
    settings: dict[str, Any] = field(default_factory=dict)
    refine: str = ''
    licence: str = 'no weights'
    union: float = 0.0
    persons: float = 0.0
    seconds: float = 0.0
    peak: float = 0.0
    pictures: list[np.ndarray] = field(default_factory=list)


def rows(args: argparse.Namespace) -> list[Row]:
    """The bundled model, models that the user named, published networks whose weights are there, and the classics."""
    ours = [Row('bundled SOLO', 'model', TINY, refine, 'Apache-2.0') for refine in ('', 'guided', 'matting')]
    named = [Row(name, 'model', {'config': config, 'checkpoint': file}, '', '') for name, config, file in args.model]
    networks = []
    for name, model in FOREGROUND_MODELS.items():
        if (file := args.weights / model.file_name).is_file() or (file := args.weights / f'{name}.onnx').is_file():
            settings = {'config': name, 'checkpoint': str(file)}
            networks.append(Row(name, 'foreground', settings, '', LICENCES[name]))
            if name == args.rembg and 'bf16' in openvino_has():
                reduced = {**settings, 'backend': 'openvino', 'precision': 'bf16'}
                networks.append(Row(f'{name}, bf16', 'foreground', reduced, '', LICENCES[name]))
    classics = [Row(name, name) for name in ('kmeans', 'otsu', 'region-growing', 'grabcut')]
    classics.append(Row('grabcut-model', 'grabcut-model', TINY, '', 'Apache-2.0'))
    classics.append(Row('ncut', 'ncut'))
    every = [*ours, *named, *networks, *classics]
    for row in every:
        row.name += f', {row.refine}' if row.refine else ''
    return [row for row in every if not args.only or row.name in args.only]


def openvino_has() -> list[str]:
    """The precisions in which OpenVINO computes on this CPU; none where it is not installed."""
    return openvino_precisions() if importlib.util.find_spec('openvino') else []


def sources(args: argparse.Namespace) -> None:
    """Compare all mask sources on photographs with COCO annotations, and solo_bg with rembg."""
    annotations = Annotations.from_file(args.annotations)
    images = sorted(annotations.coco['images'], key=lambda image: str(image['id']))
    images = images[:: max(1, len(images) // args.limit)][: args.limit]
    wanted = [annotations.read(image, (image['height'], image['width'])).instances for image in images]
    demo = [Path(image.path) for image in list_images([str(args.demo)])][:SHOWN]
    photos = [str((args.images / image['file_name']).resolve()) for image in images]
    console, measured = Console(width=120), []
    for row in rows(args):
        console.print(f'{row.name} ...')
        try:
            measure(row, photos, list(map(str, demo)), wanted)
            measured.append(row)
        except RuntimeError as error:  # the others go on
            console.print(f'{row.name} is left out: {error}', markup=False)
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.picture), sheet([read_image(path) for path in demo], measured), [cv2.IMWRITE_JPEG_QUALITY, 85])
    lines = [*describe(len(photos), wanted), *table(measured)]
    console.print('\n'.join(lines), markup=False, soft_wrap=True)
    if (weights := args.weights / f'{args.rembg}.onnx').is_file() and importlib.util.find_spec('rembg'):
        compared = against_rembg(args, weights, photos)
        console.print('\n'.join(compared), markup=False, soft_wrap=True)
        lines += ['', *compared]
    else:
        console.print(f'rembg is left out: it needs {weights} and `pip install rembg`')
    if args.document:
        path = os.path.relpath(args.picture, args.document.parent)
        shown = f'![{len(demo)} photographs, and what each source cuts out of them]({path})'
        put_into(args.document, '\n'.join([*lines, '', shown]) + '\n')


def run(work: str, job: dict[str, Any]) -> dict[str, Any]:
    """Let a new process do the work of a job."""
    script = Path(__file__).with_name('one_source.py')
    done = subprocess.run([sys.executable, script, work, json.dumps(job)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f'{work} failed:\n{done.stderr[-1000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def measure(row: Row, photos: Sequence[str], demo: Sequence[str], wanted: Sequence[Any]) -> None:
    with tempfile.TemporaryDirectory() as out:
        job = {'source': row.source, 'settings': row.settings, 'refine': row.refine, 'out': out}
        result = run('segment', {**job, 'photos': [*photos, *demo]})
        row.peak, row.seconds = result['peak'], float(np.mean(result['seconds'][: len(photos)]))
        found = [np.load(f'{out}/{index}.npz') for index in range(len(photos) + len(demo))]
        unions, persons = [], []
        for one, instances in zip(found, wanted, strict=False):
            unions.append(iou(one['mask'], instances.union.numpy()))
            if 'person' in instances.names:
                persons.append(iou(one['persons'], persons_of(instances)))
        row.union, row.persons = float(np.mean(unions)), float(np.mean(persons or [np.nan]))
        row.pictures = [one['cutout'] for one in found[len(photos) :]]


def persons_of(instances: Any) -> np.ndarray:
    return instances[[row for row, name in enumerate(instances.names) if name == 'person']].union.numpy()


def iou(found: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union of two masks (H, W); 1 if both are empty."""
    either = int((found | wanted).sum())
    return int((found & wanted).sum()) / either if either else 1.0


def describe(count: int, wanted: Sequence[Any]) -> list[str]:
    """What was measured, on what, in Markdown."""
    with_persons = sum('person' in instances.names for instances in wanted)
    whole = np.mean([iou(np.ones(one.size, bool), one.union.numpy()) for one in wanted])
    return [
        f'{count} photographs, {with_persons} of them with persons; bundled model `{digest(bundled.CHECKPOINT)[:8]}`;',
        f'{processor()}, one thread. The whole image as the mask has an IoU of {whole:.3f}.',
        '',
    ]


def processor() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def table(measured: Sequence[Row]) -> list[str]:
    lines = ['| source | IoU, foreground | IoU, persons | processor s an image | peak MB | licence of the weights |']
    lines.append('|---|---|---|---|---|---|')
    for row in measured:
        numbers = f'{row.union:.3f} | {row.persons:.3f} | {row.seconds:.3f} | {row.peak:.0f}'
        lines.append(f'| {row.name} | {numbers} | {row.licence} |')
    return lines


def against_rembg(args: argparse.Namespace, weights: Path, photos: Sequence[str]) -> list[str]:
    """Cut out the photographs with solo_bg and with rembg, in turn, and compare time, memory and pixels."""
    ways: dict[str, tuple[str, dict[str, str]]] = {'solo_bg': ('fold', {}), 'rembg': ('fold_by_rembg', {})}
    for precision in openvino_has():
        options = {'backend': 'openvino', 'precision': precision}
        ways[f'solo_bg, `--backend openvino --precision {precision}`'] = 'fold', options
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        job = {'name': args.rembg, 'weights': str(weights), 'photos': list(photos), 'threads': args.threads}
        for index in range(args.rounds):
            for way, (name, (work, options)) in enumerate(ways.items()):
                out = f'{folder}/{way}-{index}'
                results[name].append(run(work, {**job, 'options': options, 'out': out}))
        equal = [same(Path(folder, '0-0/cutout'), Path(folder, '1-0'), Path(photo).stem) for photo in photos]
    lines = [
        f'`{args.rembg}` from disk to disk, {len(photos)} photographs, threads: {args.threads}, rounds: {args.rounds},',
        f'imports left out; {processor()}. With onnxruntime, {sum(equal)} of {len(photos)} cut-outs have the alpha of',
        "rembg's, and its colours where they are opaque; where they are half transparent, rembg mixes them with black.",
        '',
        '| | images/s | times rembg | processor s an image | peak MB after half | peak MB |',
        '|---|---|---|---|---|---|',
    ]
    middle = {
        name: [float(np.median([one[key] for one in done])) for key in ('wall', 'cpu', 'half', 'peak')]
        for name, done in results.items()
    }
    for name, (wall, cpu, half, peak) in middle.items():
        ratio = middle['rembg'][0] / wall
        figures = f'{len(photos) / wall:.2f} | {ratio:.2f} | {cpu / len(photos):.3f} | {half:.0f} | {peak:.0f}'
        lines.append(f'| {name} | {figures} |')
    return lines


def same(ours: Path, theirs: Path, stem: str) -> bool:
    """Whether two cut-outs have the same alpha, and the same colours where they are opaque."""
    first, second = (np.asarray(cv2.imread(f'{folder}/{stem}.png', cv2.IMREAD_UNCHANGED)) for folder in (ours, theirs))
    opaque = first[..., 3] == 255
    return bool((first[..., 3] == second[..., 3]).all() and (first[opaque] == second[opaque]).all())


def sheet(photos: Sequence[np.ndarray], measured: Sequence[Row], width: int = 118, gap: int = 4) -> np.ndarray:
    """The photographs, a row each, and beside each what every source cuts out of it, on grey."""
    columns = [('photograph', list(photos)), *((row.name, row.pictures) for row in measured)]
    cells = [[fit(on_grey(picture), width) for picture in pictures] for _, pictures in columns]
    heights = [max(column[row].shape[0] for column in cells) for row in range(len(photos))]
    top = 34
    page = np.full((top + sum(heights) + gap * len(heights), (width + gap) * len(columns), 3), 255, np.uint8)
    for column, (name, _) in enumerate(columns):
        left, y = column * (width + gap), top
        for line, word in enumerate(name.split(', ')):
            cv2.putText(page, word, (left, 13 + 14 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        for cell, height in zip(cells[column], heights, strict=True):
            page[y : y + cell.shape[0], left : left + width] = cell
            y += height + gap
    return page


def on_grey(picture: np.ndarray) -> np.ndarray:
    if picture.shape[2] == 3:
        return picture
    share = picture[..., 3:] / 255
    return (picture[..., :3] * share + 225 * (1 - share)).astype(np.uint8)


def fit(picture: np.ndarray, width: int) -> np.ndarray:
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def put_into(document: Path, text: str, marks: tuple[str, str] = MARKS) -> None:
    """Replace what stands between the two marks of a document."""
    before, first, rest = document.read_text().partition(marks[0])
    _, last, after = rest.partition(marks[1])
    if not first or not last:
        raise SystemExit(f'{document} lacks the lines {marks[0].strip()} and {marks[1].strip()}')
    document.write_text(before + first + text + last + after)
