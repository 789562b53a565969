"""`tools/prepare_experiment.py` and `tools/experiment.py` on a few drawn scenes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from coco_data import make_dataset
from conftest import ROOT
from pycocotools.coco import COCO

from solo_bg.disk.read import read_image


def run(tool, *argv):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, argv)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('experiment')
    coco = make_dataset(folder, height=90, width=120)
    for category, name in zip(coco['categories'], ('person', 'food'), strict=True):
        category['name'] = name
    (folder / 'instances.json').write_text(json.dumps(coco))
    photos = ['--photos', folder / 'instances.json', folder / 'images', 3, '--classes', 'person']
    run('prepare_experiment.py', folder / 'data', *photos, '--scenes', 0)
    return folder, coco


def test_the_versions_differ_outside_the_chosen_objects_alone(data):
    folder, coco = data
    person = next(one['id'] for one in coco['categories'] if one['name'] == 'person')
    shown = {one['image_id'] for one in coco['annotations'] if one['category_id'] == person}
    seen = 0
    for part, versions in {'train': ('train_zero', 'train_fills'), 'test': ('test_gt',)}.items():
        root = folder / 'data' / 'photos'
        labels = COCO(str(root / f'{part}.json'))
        assert [one['name'] for one in labels.cats.values()] == ['object']
        seen += len(labels.imgs)
        for image_id, image in labels.imgs.items():
            original = read_image(root / part / image['file_name'])
            union = np.any([labels.annToMask(one) for one in labels.imgToAnns[image_id]], axis=0)
            for version in versions:
                changed = read_image(root / version / 'eliminated' / image['file_name'])
                np.testing.assert_array_equal(changed[union], original[union])
                assert (changed[~union] != original[~union]).any()
                assert version == 'train_fills' or not changed[~union].any()
    assert seen == len(shown) > 1


@pytest.mark.slow  # a minute
def test_an_arm_is_trained_and_tested_once(data):
    folder, _ = data
    options = ['train_cfg.max_iters=1', 'train_dataloader.batch_size=1', 'train_dataloader.num_workers=0']
    options += ['train_dataloader.persistent_workers=False', 'default_hooks.checkpoint.interval=1']
    arm = ROOT / 'configs' / 'experiments' / 'original.py'
    places = ['--data', folder / 'data' / 'photos', '--work-dir', folder / 'work']
    command = ['experiment.py', arm, *places, '--seeds', 1, '--cfg-options', *options]
    printed = run(*command)
    made = folder / 'work' / 'photos' / 'original' / '0' / 'results.json'
    results, written = json.loads(made.read_text())['tests'], made.stat().st_mtime_ns
    for metric in ('mask AP', 'mask AP50', 'box AP', 'box AP50', 'IoU of the union'):
        assert f'| {metric} | original | eliminated by gt | by the model |' in printed
        assert all(0 <= results[test][metric] < 0.5 for test in results)
    assert set(results) == {'original', 'eliminated by gt', 'by the model'}
    again = run(*command)
    assert again.splitlines()[-1] == printed.splitlines()[-1] and made.stat().st_mtime_ns == written
