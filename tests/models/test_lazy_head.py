"""Only what computes as mmdet's SOLO does is computed lazily; derived detectors and heads run their own methods."""

import pytest
import torch
from conftest import CHECKPOINT, CONFIG
from mmengine.config import Config

from solo_bg import Segmenter
from solo_bg.models.config import load_config
from solo_bg.models.lazy_head import choose_head
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.scenes import draw_scene

with quiet_imports():
    from mmdet.models.dense_heads import SOLOHead
    from mmdet.models.detectors import SOLO
    from mmdet.registry import MODELS

    from solo_bg.mmdet_plugin.foreground_head import ForegroundDecoupledSOLOLightHead


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten again."""
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS._module_dict))
    return MODELS


class KeepsOne(SOLO):
    """Another `predict`, as for a cascade."""

    def predict(self, *args, **kwargs):
        samples = super().predict(*args, **kwargs)
        for sample in samples:
            sample.pred_instances = sample.pred_instances[:1]
        return samples


class Mirrored(SOLO):
    """Another `extract_feat`."""

    def extract_feat(self, batch_inputs):
        return super().extract_feat(batch_inputs.flip(-1))


class KeepsOneInstance(ForegroundDecoupledSOLOLightHead):
    """A head with another `predict_by_feat`."""

    def predict_by_feat(self, *args, **kwargs):
        return [one[:1] for one in super().predict_by_feat(*args, **kwargs)]


class Renamed(SOLO):
    """Changes nothing."""


def with_parts(detector='SOLO', head='ForegroundDecoupledSOLOLightHead', **parts):
    config = Config.fromfile(CONFIG)
    config.model.type, config.model.mask_head.type = detector, head
    config.model.update(parts)
    return config


@pytest.mark.parametrize('part', [{'detector': 'KeepsOne'}, {'head': 'KeepsOneInstance'}])
def test_a_derived_part_does_its_own_work(registry, segmenter, part):
    for kind in (KeepsOne, KeepsOneInstance):
        registry.register_module(module=kind)
    image = draw_scene(5)[0]
    assert len(segmenter([image])[0]) > 1
    derived = Segmenter(with_parts(**part), CHECKPOINT, 'cpu')
    assert not derived.lazy and len(derived([image])[0]) == 1


def test_a_derived_extract_feat_is_called(registry, segmenter):
    """Its features are those of the mirrored image, and so are its masks."""
    registry.register_module(module=Mirrored)
    image = draw_scene(5)[0]
    derived = Segmenter(with_parts('Mirrored'), CHECKPOINT, 'cpu')
    slow = Segmenter(with_parts('Mirrored'), CHECKPOINT, 'cpu', lazy=False)
    stock = Segmenter(CONFIG, CHECKPOINT, 'cpu', lazy=False)
    assert not derived.lazy
    (found,) = derived([image])
    assert (found.union == slow([image])[0].union).float().mean() > 0.999
    assert (found.union == stock([image])[0].union).float().mean() < 0.95


@pytest.mark.parametrize(
    ('detector', 'head', 'lazily'),
    [
        ('SOLO', 'DecoupledSOLOLightHead', True),
        ('SOLO', 'ForegroundDecoupledSOLOLightHead', True),
        ('mmdet.SOLO', 'mmdet.SOLOHead', True),
        (SOLO, SOLOHead, True),
        ('Renamed', 'SOLOHead', True),  # derived, without a method of its own
        ('SOLO', 'LazySOLOHead', True),
        ('KeepsOne', 'SOLOHead', False),
        ('Mirrored', 'SOLOHead', False),
        ('KeepsOne', 'LazySOLOHead', False),
        ('SOLO', 'KeepsOneInstance', False),
        ('SOLO', type('SOLOHead', (SOLOHead,), {'predict': lambda self: None}), False),  # of the same name
        ('SOLO', 'NoSuchHead', False),
        ('NoSuchDetector', 'SOLOHead', False),
    ],
)
def test_which_is_lazy(registry, detector, head, lazily):
    for kind in (KeepsOne, Mirrored, KeepsOneInstance, Renamed):
        registry.register_module(module=kind)
    config = load_config(with_parts(detector, head), None)
    assert choose_head(config, lazy=True) == lazily
    named = config.model.mask_head.type
    assert str(named).startswith('Lazy') if lazily else named == head
    assert not choose_head(config, lazy=False)
    assert not str(config.model.mask_head.type).startswith('Lazy') or detector == 'KeepsOne'


def test_a_head_that_is_registered_in_the_place_of_mmdets(registry):
    registry.register_module(module=KeepsOneInstance, name='DecoupledSOLOLightHead', force=True)
    config = with_parts(head='DecoupledSOLOLightHead')
    assert not choose_head(config, lazy=True) and config.model.mask_head.type == 'DecoupledSOLOLightHead'


def test_a_detector_with_boxes_as_well(registry):
    config = with_parts(bbox_head={'type': 'FCOSHead'})
    assert not choose_head(config, lazy=True)
    assert not choose_head(Config({'model': {'type': 'MaskRCNN'}}), lazy=True)


def test_the_same_results_without_the_lazy_head(registry, segmenter):
    """A derived detector that changes nothing gives what the lazy one gives."""
    registry.register_module(module=KeepsOneInstance)
    image = draw_scene(5)[0]
    (first,) = Segmenter(with_parts(head='KeepsOneInstance'), CHECKPOINT, 'cpu')([image])
    (found,) = segmenter([image])
    assert torch.isclose(first.scores, found.scores[:1], atol=1e-4).all()
