"""`tools/train.py` and `tools/test.py` as a user runs them, on a data set that an offline run wrote."""

import json
import pickle
import shutil
import subprocess
import sys
from unittest.mock import Mock

import pytest
import torch
from coco_data import make_dataset
from conftest import CHECKPOINT, ROOT
from forged import Hostile

from solo_bg.cli import main as cli

CONFIG = """
_base_ = '{root}/configs/solo_bg_tiny.py'
custom_imports = dict(imports=['solo_bg.mmdet_plugin.eliminate_background'], allow_failed_imports=False)
data = dict(
    type='CocoDataset',
    metainfo=dict(classes=('round', 'other')),
    data_root='{data}',
    ann_file='annotations.json',
    data_prefix=dict(img='eliminated/'),
)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
train_pipeline = [*load, dict(type='EliminateBackground', fill='noise'), dict(type='PackDetInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    _delete_=True,
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(pipeline=train_pipeline, **data),
)
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True, **data),
)
ann_file = '{data}/annotations.json'
test_evaluator = [
    dict(type='CocoMetric', ann_file=ann_file, metric='segm'),
    dict(type='ForegroundIoU', ann_file=ann_file),
    dict(type='MaskProposalRecall', ann_file=ann_file),
]
val_dataloader = val_evaluator = val_cfg = None
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
param_scheduler = []
default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook', interval=1, by_epoch=False))
log_processor = dict(by_epoch=False)
auto_scale_lr = None
"""


TWO_CLASSES = 'model.mask_head.num_classes=2'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    make_dataset(folder)
    argv = ['--source', 'gt', '--ann', folder / 'instances.json', folder / 'images', '-o', folder / 'out']
    assert cli.main([*map(str, argv), '--quiet']) == 0
    (folder / 'config.py').write_text(CONFIG.format(root=ROOT, data=folder / 'out'))
    return folder / 'config.py'


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """The work directory of two iterations."""
    work_dir = tmp_path_factory.mktemp('trained') / 'work'
    run('train.py', config, '--work-dir', work_dir, '--amp', '--cfg-options', TWO_CLASSES)
    return work_dir


@pytest.fixture
def work_dir(trained, tmp_path):
    """A copy, in which a test may train on."""
    copy = shutil.copytree(trained, tmp_path / 'work')
    (copy / 'last_checkpoint').write_text(str(copy / 'iter_2.pth'))
    return copy


def run(tool, *argv):
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), *map(str, argv)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_data_set_that_we_wrote_trains_resumes_and_is_tested(config, work_dir, tmp_path):
    more = [TWO_CLASSES, 'train_cfg.max_iters=3']
    assert 'resumed' in run('train.py', config, '--work-dir', work_dir, '--amp', '--resume', '--cfg-options', *more)
    assert (work_dir / 'iter_3.pth').exists()

    out = ['--out', tmp_path / 'found.pkl', '--show-dir', tmp_path / 'shown', '--work-dir', tmp_path / 'test']
    thresholds = {
        'score_thr': 0,
        'filter_thr': -1,
        'mask_thr': 0.00001,
    }  # it has learnt nothing, but is to find something
    options = ['--cfg-options', TWO_CLASSES]
    options += [f'model.test_cfg.{name}={value}' for name, value in thresholds.items()]
    printed = run('test.py', config, work_dir / 'iter_3.pth', *out, *options)
    for name in ('coco/segm_mAP', 'foreground/iou', 'proposal/AR@100', 'proposal/AUC'):
        assert f'{name}: 0.' in printed
    assert len(pickle.loads((tmp_path / 'found.pkl').read_bytes())) == 4
    assert list((tmp_path / 'shown').rglob('*.png'))


def test_weights_that_do_not_fit_are_refused(config, tmp_path):
    argv = [
        sys.executable,
        ROOT / 'tools/test.py',
        config,
        CHECKPOINT,
        '--cfg-options',
        TWO_CLASSES,
    ]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and 'does not fit the config' in done.stderr.splitlines()[-1]


@pytest.fixture
def tools(monkeypatch):
    """`import train` is tools/train.py."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))


@pytest.mark.usefixtures('tools')
@pytest.mark.parametrize('begun', [False, True])
def test_resuming_before_the_first_checkpoint_starts(config, tmp_path, monkeypatch, begun):
    import train

    from_cfg = Mock()
    monkeypatch.setattr(train.Runner, 'from_cfg', from_cfg)
    (tmp_path / 'work').mkdir()
    if begun:
        (tmp_path / 'work/last_checkpoint').write_text('iter_2.pth')
    options = ['--cfg-options', 'load_from=pretrained.pth']
    monkeypatch.setattr(sys, 'argv', ['', str(config), '--work-dir', str(tmp_path / 'work'), '--resume', *options])
    train.main()
    ((given,), _) = from_cfg.call_args
    assert (given.resume, given.load_from) == ((True, None) if begun else (False, 'pretrained.pth'))


def test_proposals_of_one_stage_and_of_two():
    from solo_bg.errors import SetupError
    from solo_bg.models.config import keep_proposals, load_config
    from solo_bg.models.zoo import find

    for name, stage in (('solo_r50_fpn_1x_coco', None), ('mask-rcnn_r50_fpn_1x_coco', 'rcnn')):
        config = load_config(find(name).config, {})
        keep_proposals(config)
        settings = config.model.test_cfg[stage] if stage else config.model.test_cfg
        assert (settings.score_thr, settings.max_per_img) == (
            0,
            1000,
        )
    config.model.test_cfg = {'max_per_image': 100}
    with pytest.raises(SetupError, match='max_per_img'):
        keep_proposals(config)


@pytest.mark.usefixtures('tools')
def test_average_precision_whatever_the_category(tmp_path):
    import evaluate_union
    from pycocotools.coco import COCO

    data = make_dataset(tmp_path)
    data['annotations'] = [{**one, 'category_id': 7, 'iscrowd': 0} for one in data['annotations']]
    data['categories'] = [{'id': 7, 'name': 'any'}]
    (tmp_path / 'a.json').write_text(json.dumps(data))
    coco = COCO(str(tmp_path / 'a.json'))
    found = [
        {'image_id': one['image_id'], 'category_id': 7, 'segmentation': coco.annToRLE(one), 'score': 0.9}
        for one in data['annotations']
    ]
    assert evaluate_union.average_precision(coco, found)[0] > 0.99


@pytest.mark.parametrize('hidden', ['in the pickle', pytest.param('in the config', marks=pytest.mark.slow)])
def test_resuming_runs_nothing_that_a_checkpoint_brings(config, work_dir, tmp_path, hidden):
    owned = tmp_path / 'owned'
    options = ['--work-dir', work_dir, '--amp', '--cfg-options', TWO_CLASSES]
    saved = torch.load(work_dir / 'iter_2.pth', weights_only=False)
    saved['meta']['config'] = f'import os; os.mkdir({str(owned)!r})'
    if hidden == 'in the pickle':
        saved['meta']['x'] = Hostile(owned)
    torch.save(saved, work_dir / 'iter_2.pth')
    command = [sys.executable, ROOT / 'tools/train.py', config, '--resume', *options, 'train_cfg.max_iters=3']
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert not owned.exists()
    assert (done.returncode == 0) == (hidden == 'in the config'), done.stderr[-2000:]
    assert hidden == 'in the config' or 'it wants' in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_two_processes_on_the_cpu(config, tmp_path):
    argv = ['--launcher', 'pytorch', '--work-dir', tmp_path / 'work']
    options = ['--cfg-options', TWO_CLASSES, 'train_dataloader.batch_size=1']
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    command = [*torchrun, ROOT / 'tools/train.py', config, *argv, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'work/iter_2.pth').exists()


def test_the_configs_of_this_repository_can_be_trained_as_far_as_their_data(tmp_path):
    argv = [sys.executable, ROOT / 'tools/train.py', ROOT / 'configs/solo_bg_tiny_train.py', '--work-dir', tmp_path]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert 'error: there is no annotation file at data/tiny/complete/train.json' in done.stderr.splitlines()[-1]
