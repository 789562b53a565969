"""OpenVINO against torch, on the same weights and images, at the bounds of the rearranged convolutions."""

import json
from types import SimpleNamespace

import cv2
import pytest
import torch
from agreement import assert_agree
from conftest import CHECKPOINT, CONFIG
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from solo_bg import Segmenter, SetupError
from solo_bg.cli import main as cli
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.scenes import draw_scene
from solo_bg.solo import compiled

with quiet_imports():
    from mmdet.registry import MODELS

    import solo_bg.mmdet_plugin.lazy_solo  # noqa: F401
    from solo_bg.solo.optimise import optimise

pytest.importorskip('openvino')

HEADS = ('LazySOLOHead', 'LazyDecoupledSOLOHead', 'LazyDecoupledSOLOLightHead')


def build(kind, **options):
    """A small SOLO with random weights, whose neighbouring cells have scores that differ."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    head = {'type': kind, 'num_classes': 2, 'in_channels': 32, 'feat_channels': 32, 'stacked_convs': 3}
    backbone = {'type': 'ResNet', 'depth': 18, 'base_channels': 8, 'stem_channels': 8}
    neck = {'type': 'FPN', 'in_channels': [8, 16, 32, 64], 'out_channels': 32, 'num_outs': 5}
    head = {**head, 'num_grids': [8, 6, 4, 3, 2], **options}
    model = MODELS.build(ConfigDict(type='SOLO', backbone=backbone, neck=neck, mask_head=head)).eval()
    torch.nn.init.normal_(model.mask_head.conv_cls.weight, std=0.3)
    return model


@torch.no_grad()
def everything(model, x):
    """The features, the cells' scores and the mask branches' maps."""
    head = model.mask_head
    maps = head.resize_feats(model.extract_feat(x))
    scores = [head.score_cells(one, grid) for one, grid in zip(maps, head.num_grids, strict=True)]
    return [*maps, *scores, *(one for level in maps for one in head.mask_maps(level))]


@pytest.mark.parametrize(('kind', 'options'), [*((kind, {}) for kind in HEADS), (HEADS[0], {'cls_down_index': 2})])
def test_the_convolutions_of_each_head_stay(kind, options):
    model, x = build(kind, **options), torch.rand(2, 3, 96, 128)
    expected = everything(model, x)
    optimise(model, 'fp32', 'openvino')
    assert isinstance(model.backbone, compiled.Compiled) and model.mask_head.halved
    for ours, theirs in zip(everything(model, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_images_of_any_size_and_batches_of_them(segmenter):
    """The network is converted once."""
    ours = Segmenter(CONFIG, CHECKPOINT, 'cpu', backend='openvino')
    images = [draw_scene(seed, *size)[0] for seed, size in ((1, (96, 128)), (2, (128, 96)), (3, (96, 128)))]
    for found, wanted in zip([*ours(images), *ours(images[:1])], [*segmenter(images), *segmenter(images[:1])]):  # noqa: B905
        assert len(found) > 0
        assert_agree(found, wanted)
    assert ours.describe() == {**segmenter.describe(), 'backend': 'openvino'}


class DependsOnTheSize(nn.Module):
    """A trace keeps one of its two ways."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.conv(x) if x.shape[-1] > 10 else self.conv(x) + 1


class NotInOpenVINO(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return torch.linalg.svdvals(self.conv(x))


@pytest.mark.parametrize(
    ('part', 'message'), [(DependsOnTheSize, 'differently from torch'), (NotInOpenVINO, 'cannot compute')]
)
def test_a_part_that_is_converted_wrongly_is_refused(part, message):
    with pytest.raises(SetupError, match=f'{message}.*use --backend torch'):
        compiled.compile_part('part', 'fp32', (8, 12), part())


def test_a_part_with_several_outputs_gives_a_tuple():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(x), x[..., ::2]

    torch.manual_seed(0)
    part, x = Two(), torch.rand(2, 3, 9, 17).contiguous(memory_format=torch.channels_last)
    found = compiled.compile_part('part', 'fp32', (8, 12), part)(x)
    assert isinstance(found, tuple)
    for one, wanted in zip(found, part(x), strict=True):
        torch.testing.assert_close(one, wanted, rtol=0, atol=1e-6)


def test_results_are_the_callers_own():
    """A later call does not change them."""
    part = compiled.compile_part('part', 'fp32', (8, 12), nn.Conv2d(1, 1, 1))
    first = part(torch.zeros(1, 1, 4, 4))
    before = first.clone()
    part(torch.ones(1, 1, 4, 4))
    assert torch.equal(first, before)


def test_a_config_can_name_the_hook():
    from mmengine.registry import HOOKS

    import solo_bg.mmdet_plugin.optimise_for_test  # noqa: F401

    model, x = build(HEADS[0]), torch.rand(1, 3, 64, 96)
    expected = everything(model, x)
    hook = HOOKS.build({'type': 'OptimiseForTest', 'backend': 'openvino'})
    hook.before_test(SimpleNamespace(model=model))
    assert isinstance(model.backbone, compiled.Compiled)
    for ours, theirs in zip(everything(model, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    with pytest.raises(SetupError, match='LazySOLOHead'):
        hook.before_test(SimpleNamespace(model=nn.Conv2d(1, 1, 1)))


def test_the_command_takes_the_backend(tmp_path):
    cv2.imwrite(str(tmp_path / 'scene.png'), draw_scene(1, 96, 128)[0])
    options = ['-o', tmp_path / 'out', '--device', 'cpu', '--backend', 'openvino', '--on-empty', 'black', '--quiet']
    assert cli.main([*map(str, [CONFIG, CHECKPOINT, tmp_path / 'scene.png', *options])]) == 0
    model = json.loads((tmp_path / 'out/run.json').read_text())['depends']['source']
    assert (model['backend'], model['precision'], model['lazy']) == ('openvino', 'fp32', True)
