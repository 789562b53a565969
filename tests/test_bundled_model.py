"""The bundled model end to end, on drawn scenes that it has never seen: through the command and through Python."""

import contextlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import CHECKPOINT, CONFIG
from pycocotools.coco import COCO

from solo_bg import Segmenter, eliminate_background, pipeline
from solo_bg.cli import main as cli
from solo_bg.disk.inputs import list_images
from solo_bg.options import Options
from solo_bg.scenes import draw_scene
from solo_bg.sources.detector import Detector

SEEDS = range(2_000_000, 2_000_040)  # training used 0..1499, the card's figures 1,000,000 and up
ENOUGH = 0.87  # IoU of the union on drawn scenes; the card has 0.90 and more
ENOUGH_ON_PHOTOGRAPHS = 0.57  # the card has 0.60


@pytest.fixture(scope='module')
def scenes():
    return [(image, masks.any(0)) for image, masks in (draw_scene(seed) for seed in SEEDS)]


def iou(found, wanted):
    return (found & wanted).sum() / (found | wanted).sum()


def test_through_python(segmenter, scenes):
    scores = []
    for image, union in scenes:
        instances = segmenter([image])[0].select(score_thr=0.3)
        found = instances.union.numpy()
        scores.append(iou(found, union))
        eliminated = eliminate_background(image, instances)
        assert not eliminated[~found].any()
        np.testing.assert_array_equal(eliminated[found], image[found])
    assert np.mean(scores) >= ENOUGH


@pytest.mark.skipif('SOLO_BG_COCO_MINI' not in os.environ, reason='needs the photographs of coco-mini')
def test_on_photographs(segmenter):
    """Every fifth photograph of coco-mini by id: none of them was trained or calibrated on."""
    root = Path(os.environ['SOLO_BG_COCO_MINI'])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(root / 'annotations/instances_train2017.json'))
    scores = []
    for image_id in sorted(coco.imgs)[::5]:
        image = cv2.imread(str(root / 'train2017' / coco.imgs[image_id]['file_name']))
        wanted = sum(coco.annToMask(one) for one in coco.imgToAnns[image_id]) > 0
        scores.append(iou(segmenter([image])[0].select(0.3).union.numpy(), wanted))
    assert len(scores) == 20 and np.mean(scores) >= ENOUGH_ON_PHOTOGRAPHS


@pytest.fixture(scope='module')
def folder(scenes, tmp_path_factory):
    """Scenes of two sizes, turn by turn."""
    folder = tmp_path_factory.mktemp('in')
    for index, (image, _) in enumerate(scenes[:6]):
        cv2.imwrite(str(folder / f'{index}.png'), image if index % 2 else image[:240])
    return folder


def run(segmenter, folder, out, backwards=False, **options):
    images = list_images([str(folder)])[:: -1 if backwards else 1]
    records = list(pipeline.run(images, Detector(segmenter), Options(out=out, on_empty='black', **options)))
    assert {record.status for record in records} <= {'ok', 'empty'} and len(records) == 6
    return {path.relative_to(out): path.read_bytes() for path in out.rglob('*.png')}


def test_one_image_a_pass_gives_the_same_bytes_for_every_order_and_number_of_workers(segmenter, folder, tmp_path):
    threads = torch.get_num_threads()
    expected = run(segmenter, folder, tmp_path / 'one', workers=1)
    assert len(expected) == 12
    for workers in (2, 7):
        assert run(segmenter, folder, tmp_path / f'{workers}', workers=workers, backwards=True) == expected
    with ThreadPoolExecutor() as others:  # the workers compute alone, the model and every thread after them with all
        assert torch.get_num_threads() == others.submit(torch.get_num_threads).result() == threads


def test_larger_batches_differ_by_rounding_only(segmenter, folder, tmp_path):
    alone = run(segmenter, folder, tmp_path / 'one', styles=['mask'])
    for name, data in run(segmenter, folder, tmp_path / 'four', styles=['mask'], batch_size=4).items():
        masks = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_UNCHANGED) for one in (data, alone[name])]
        assert (masks[0] != masks[1]).mean() <= 1e-4


def test_bfloat16_finds_nearly_the_same(segmenter, scenes):
    faster = Segmenter(CONFIG, CHECKPOINT, device='cpu', precision='bf16')
    assert faster.precision == 'bf16' and segmenter.precision == 'fp32'
    pairs = [[one([image])[0].select(0.3).union.numpy() for one in (segmenter, faster)] for image, _ in scenes[:5]]
    assert np.mean([iou(*pair) for pair in pairs]) > 0.9
    assert any((first != second).any() for first, second in pairs)


def test_through_the_command(segmenter, scenes, tmp_path):
    scenes = scenes[:8]
    (tmp_path / 'in').mkdir()
    for index, (image, _) in enumerate(scenes):
        cv2.imwrite(str(tmp_path / f'in/{index:02d}.png'), image)
    argv = [CONFIG, CHECKPOINT, tmp_path / 'in', '-o', tmp_path / 'out', '--styles', 'mask,eliminated']
    assert cli.main([*map(str, argv), '--on-empty', 'black', '--quiet']) == 0
    lines = [json.loads(line) for line in (tmp_path / 'out/manifest.jsonl').read_text().splitlines()]
    masks = [cv2.imread(str(tmp_path / 'out' / line['outputs']['mask']), cv2.IMREAD_UNCHANGED) for line in lines]
    for line, mask, (image, _) in zip(lines, masks, scenes, strict=True):
        found = segmenter([image])[0].select(0.3).union.numpy()
        assert ((mask > 0) != found).mean() <= 1e-4  # another number of threads may round differently
        eliminated = cv2.imread(str(tmp_path / 'out' / line['outputs']['eliminated']))
        np.testing.assert_array_equal(eliminated, image * (mask > 0)[..., None])
