"""The bundled model end to end, on drawn scenes that it has never seen: through the command and through Python."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import CHECKPOINT, CONFIG, ROOT

from solo_bg import eliminate_background
from solo_bg.scenes import draw_scene

SEEDS = range(2_000_000, 2_000_012)  # training used 0..1199, the card's figures 1,000,000 and up
ENOUGH = 0.7  # IoU of the union. The model reaches 0.76 (its card); 0.8 is where it should get with more training


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


def test_through_the_command(scenes, tmp_path):
    (tmp_path / 'in').mkdir()
    for index, (image, _) in enumerate(scenes):
        cv2.imwrite(str(tmp_path / f'in/{index:02d}.png'), image)
    argv = [
        CONFIG,
        CHECKPOINT,
        tmp_path / 'in',
        '-o',
        tmp_path / 'out',
        '--styles',
        'mask,eliminated',
        '--on-empty',
        'black',
    ]
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/eliminate_bg.py', *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / 'out/manifest.jsonl').read_text().splitlines()]
    masks = [cv2.imread(str(tmp_path / 'out' / line['outputs']['mask']), cv2.IMREAD_UNCHANGED) for line in lines]
    assert np.mean([iou(mask > 0, union) for mask, (_, union) in zip(masks, scenes, strict=True)]) >= ENOUGH
    for line, mask, (image, _) in zip(lines, masks, scenes, strict=True):
        eliminated = cv2.imread(str(tmp_path / 'out' / line['outputs']['eliminated']))
        np.testing.assert_array_equal(eliminated, image * (mask > 0)[..., None])
