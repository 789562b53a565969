import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.registry import MODELS

    import solo_bg.mmdet_plugin.lazy_solo  # noqa: F401
    from solo_bg.solo.optimise import fold_halving, optimise
    from solo_bg.solo.winograd import WinogradConv2d

WIDE = 128  # channels from which on Winograd pays
BACKBONE = {'type': 'ResNet', 'depth': 18, 'base_channels': 16, 'stem_channels': 16, 'frozen_stages': -1}
NECK = {'type': 'FPN', 'in_channels': [16, 32, 64, 128], 'out_channels': WIDE, 'num_outs': 5}


@pytest.fixture(scope='module')
def model():
    return build(BACKBONE)


def build(backbone):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    head = {'type': 'LazySOLOHead', 'num_classes': 2, 'in_channels': WIDE, 'feat_channels': WIDE, 'stacked_convs': 1}
    model = MODELS.build(
        ConfigDict(
            type='SOLO',
            data_preprocessor={'type': 'DetDataPreprocessor', 'pad_size_divisor': 32},
            backbone=backbone,
            neck=NECK,
            mask_head={**head, 'num_grids': [8, 6, 4, 3, 2]},
        )
    ).eval()
    for module in model.modules():  # as if it had been trained
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model


def features(model, x):
    with torch.no_grad():
        return model.mask_head.resize_feats(model.extract_feat(x))


@pytest.mark.parametrize('kind', ['ConvWS', 'ConvAWS'])
@pytest.mark.parametrize('norm', [{'type': 'BN'}, {'type': 'GN', 'num_groups': 4}])
def test_weights_that_are_standardised_as_they_are_used_stay_so(kind, norm):
    model = build({**BACKBONE, 'conv_cfg': {'type': kind}, 'norm_cfg': norm})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all that is seen
    with torch.no_grad():
        model.train().extract_feat(torch.rand(4, 3, 96, 128))
    model.eval()
    x = torch.rand(1, 3, 96, 128)
    expected = features(model, x)
    optimise(model, 'fp32')
    for ours, theirs in zip(features(model, x), expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_the_features_stay(model, precision):
    """What differs in bf16 is autocast's."""
    x = torch.rand(2, 3, 96, 128)
    expected = features(model, x)
    faster = copy.deepcopy(model)
    optimise(faster, precision)
    for ours, theirs in zip(features(faster, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    winograd = [module for module in faster.modules() if isinstance(module, WinogradConv2d)]
    assert bool(winograd) == (precision == 'fp32')
    assert not any(isinstance(module, WinogradConv2d) for module in faster.mask_head.conv_mask_list)


@pytest.mark.parametrize(
    ('sizes', 'change'),
    [
        ((72, 104), {'neck': {'start_level': 1, 'in_channels': [16, 32, 64, 128]}}),  # the halved map has odd sides
        ((64, 96), {'backbone': {'strides': (1, 1, 2, 2)}}),  # the two finest maps have one size
        ((100, 76), {}),
    ],
)
def test_unusual_maps_are_halved_once(model, sizes, change):
    other = copy.deepcopy(model)
    if 'backbone' in change:
        other.backbone = MODELS.build({**BACKBONE, **change['backbone']})
        other.backbone.eval()  # mmdet's returns nothing
    if 'neck' in change:
        other.neck = MODELS.build({**NECK, **change['neck']})
    x = torch.rand(1, 3, *sizes)
    expected = features(other, x)
    fold_halving(other)
    assert other.neck.fpn_convs[0].conv.kernel_size == (4, 4)
    for ours, theirs in zip(features(other, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_halving_is_folded_where_nothing_else_uses_the_map(model):
    x = torch.rand(1, 3, 64, 96)
    folded = copy.deepcopy(model)
    fold_halving(folded)
    assert [tuple(one.shape[-2:]) for one in folded.extract_feat(x)[:2]] == [(8, 12), (8, 12)]
    for ours, theirs in zip(features(folded, x), features(model, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('reason', ['one level', 'norm', 'another neck'])
def test_where_it_cannot_be_folded_nothing_changes(model, reason):
    other = copy.deepcopy(model)
    if reason == 'one level':
        other.neck = MODELS.build({**NECK, 'in_channels': [16], 'num_outs': 3})
    elif reason == 'norm':
        other.neck = MODELS.build({**NECK, 'norm_cfg': {'type': 'BN'}})
    else:
        other.neck = MODELS.build({**NECK, 'type': 'PAFPN'})
    fold_halving(other)
    assert other.neck.fpn_convs[0].conv.kernel_size == (3, 3)
