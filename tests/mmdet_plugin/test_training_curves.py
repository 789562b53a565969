"""The curves of a training: their values, resuming, and training without epochs."""

import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from coco_data import make_dataset
from conftest import ROOT
from tiny_unet import tiny_config

from solo_bg import Segmenter
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from solo_bg.mmdet_plugin.training_curves import TrainingCurves


@pytest.fixture
def config(tmp_path):
    """The published recipe, small, on four drawn scenes."""
    make_dataset(tmp_path)
    config = tiny_config()
    ann_file = str(tmp_path / 'instances.json')
    for data in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        data.update(batch_size=2, num_workers=0, persistent_workers=False)
        data.dataset.update(ann_file=ann_file, data_prefix={'img': str(tmp_path / 'images')})
        data.dataset.metainfo = {'classes': ('round',)}
    for evaluator in (config.val_evaluator, config.test_evaluator):
        evaluator.update(ann_file=ann_file, classes=('round',))
    config.optim_wrapper.optimizer.lr = 0.01
    config.param_scheduler[0].update(patience=0, factor=0.5, threshold=10.0)  # no epoch is that much better
    config.train_cfg.max_epochs = 3
    config.dump(tmp_path / 'unet.py')
    return tmp_path / 'unet.py'


def train(monkeypatch, *argv):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    import train as tool

    monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, argv)])
    tool.main()


@pytest.mark.slow
def test_the_recipe_trains_resumes_and_is_used(config, tmp_path, monkeypatch):
    work = tmp_path / 'work'
    train(monkeypatch, config, '--work-dir', work)
    before = json.loads((work / 'curves.json').read_text())
    state = torch.load(work / 'epoch_3.pth', weights_only=False)  # written before the epoch's validation
    assert state['optimizer']['param_groups'][0]['lr'] == pytest.approx(0.01 / 2)
    more = ['--cfg-options', 'train_cfg.max_epochs=4']
    train(monkeypatch, config, '--work-dir', work, '--resume', *more)
    curves = json.loads((work / 'curves.json').read_text())
    assert set(curves) == {'train/loss', 'train/iou', 'val/loss', 'val/iou', 'val/foreground/iou'}
    for name, points in curves.items():
        assert [epoch for epoch, _ in points] == [1, 2, 3, 4]
        assert points[:3] == before[name]
        assert all(0 <= value <= (4 if 'loss' in name else 1) for _, value in points)
    picture = cv2.imread(str(work / 'curves.png'))
    assert picture.shape[1] > 900 and (picture != 255).any((0, 2)).mean() > 0.9

    (best,) = work.rglob('best_*.pth')
    reached = max(value for _, value in curves['val/foreground/iou'])
    assert dict(map(tuple, curves['val/foreground/iou']))[int(best.stem[-1])] == reached

    segmenter = Segmenter('auto', best, 'cpu')  # with the config that the checkpoint carries
    assert segmenter.class_names == ('round',)
    image = cv2.imread(str(tmp_path / 'images/0.png'))
    (found,), (same,) = segmenter([image]), Segmenter(config, best, 'cpu')([image])
    assert torch.equal(found.masks, same.masks) and found.size == image.shape[:2]


def test_a_point_is_the_mean_since_the_last(tmp_path):
    hook = TrainingCurves(interval=3)
    runner = SimpleNamespace(train_loop=None, iter=0, epoch=0, rank=0, work_dir=str(tmp_path))
    for runner.iter in range(6):
        hook.after_train_iter(runner, runner.iter, None, {'loss': torch.tensor(float(runner.iter)), 'loss_mask': 1.0})
    hook.add('val/foreground/iou', 6, float('nan'))
    hook.after_train(runner)
    curves = json.loads((tmp_path / 'curves.json').read_text())
    assert curves == {'train/loss': [[3, 1.0], [6, 4.0]], 'val/foreground/iou': []}

    runner.iter = 4
    resumed = TrainingCurves()
    resumed.before_train(runner)
    assert resumed.curves['train/loss'] == [(3, 1.0)]


def test_no_validation_loss_from_annotations_of_another_size(tmp_path):
    from tiny_unet import build, sample

    model = build(tiny_config()).eval()
    hook = TrainingCurves()
    runner = SimpleNamespace(model=model, train_loop=None, iter=1, epoch=0, rank=0, work_dir=str(tmp_path))
    batch = {'inputs': [torch.zeros(3, 64, 64, dtype=torch.uint8)]}
    batch['data_samples'] = [sample(np.ones((1, 30, 30), bool), shape=(64, 64))]
    hook.after_val_iter(runner, 0, batch)
    assert not hook.sums
    batch['data_samples'] = [sample(np.ones((1, 64, 64), bool))]
    hook.after_val_iter(runner, 0, batch)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert hook.sums['val/loss'][0].item() == pytest.approx((losses['loss_bce'] + losses['loss_jaccard']).item())
