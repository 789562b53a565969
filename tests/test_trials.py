"""`tools/trials_tiny.py`: what each trial changes, without training any."""

import argparse
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS
from mmengine.config import DictAction

from solo_bg.models.config import load_config


@pytest.fixture(scope='module')
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools'))
        import trials_tiny
    return trials_tiny


def config_of(tool, name):
    options = tool.settings(tool.TRIALS[name], 60, Path('/data'), Path('/weights.pth'))
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)  # as tools/train.py reads them
    parsed = parser.parse_args(['--cfg-options', *options]).cfg_options
    return load_config(tool.RECIPE, parsed, 'train_dataloader')


@pytest.mark.parametrize(
    'name, wanted',
    [
        (
            'MobileNetV2',
            lambda config: config.model.backbone.type == 'MobileNetV2' and 'depth' not in config.model.backbone,
        ),
        ('ResNet-18', lambda config: config.model.backbone.depth == 18),
        ('all stages of the backbone frozen', lambda config: config.model.backbone.frozen_stages == 4),
        ('no stage frozen', lambda config: config.model.backbone.frozen_stages == -1),
        ('without the foreground map', lambda config: config.model.mask_head.get('foreground_weight') == 0),
        ('without averaging', lambda config: not config.custom_hooks),
        ('one class', lambda config: config.model.mask_head.num_classes == 1),
    ],
)
def test_a_trial_changes_what_it_says(tool, name, wanted):
    assert wanted(config_of(tool, name)) and not wanted(config_of(tool, 'the recipe'))


def test_every_trial_reads_its_own_data_for_the_same_number_of_iterations(tool):
    for name, trial in tool.TRIALS.items():
        config = config_of(tool, name)
        assert config.train_cfg.max_iters == 60 and config.param_scheduler[0].end == 10
        assert config.model.backbone.init_cfg == {'type': 'Pretrained', 'checkpoint': '/weights.pth'}
        sets = [one.dataset for one in config.train_dataloader.dataset.dataset.datasets]
        assert [one.ann_file for one in sets] == [f'/data/{part}/{trial.ann_file}' for part in tool.PARTS]
        for one in sets:
            crop = next(step.crop_size for step in one.pipeline if step.type == 'RandomCrop')
            assert crop == next(step.size for step in one.pipeline if step.type == 'Pad')
            assert (crop[0] == 256) == ('crops of' not in name)
            assert len(one.metainfo.classes) == config.model.mask_head.num_classes


@pytest.mark.parametrize('name', ['the recipe', 'ResNet-18', 'MobileNetV2', 'one class', 'without the foreground map'])
def test_what_is_trained_fits_the_config_that_measures_it(tool, name):
    trained = config_of(tool, name).model
    trained.backbone.init_cfg = None
    used = load_config(str(ROOT / tool.CONFIG), tool.TRIALS[name].use).model
    weights = MODELS.build(trained).state_dict()
    assert {key: value.shape for key, value in weights.items()} == {
        key: value.shape for key, value in MODELS.build(used).state_dict().items()
    }


def test_torchvisions_mobilenet_gets_mmdets_names(tool, tmp_path):
    torch.manual_seed(0)
    own = MobileNetV2(out_indices=(7,)).state_dict()
    theirs = {f'features.{number}': torch.rand(value.shape) for number, value in enumerate(own.values())}
    torch.save(theirs | {'classifier.1.weight': torch.zeros(3)}, tmp_path / 'given.pth')
    tool.convert_mobilenet(tmp_path / 'given.pth', tmp_path / 'converted.pth')
    converted = torch.load(tmp_path / 'converted.pth', weights_only=True)
    assert list(converted) == list(own)
    assert all(torch.equal(a, b) for a, b in zip(converted.values(), theirs.values(), strict=True))
    torch.save(dict(reversed(theirs.items())), tmp_path / 'wrong.pth')
    with pytest.raises(SystemExit, match='does not hold'):
        tool.convert_mobilenet(tmp_path / 'wrong.pth', tmp_path / 'none.pth')
