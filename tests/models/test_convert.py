"""The original repository's weights, renamed, in mmdet's heads and in ours: the answers of the original's own."""

import subprocess
import sys
from types import SimpleNamespace

import original_solo
import pytest
import torch
from agreement import assert_agree
from conftest import ROOT
from mmengine.config import Config
from original_files import FILES, shapes
from original_solov2 import Original
from test_lazy_solo import CHANNELS, CLASSES, GRIDS, features, make_heads, samples

from solo_bg import Segmenter
from solo_bg.models import zoo
from solo_bg.models.checkpoint import load_checkpoint
from solo_bg.models.convert import from_original, is_original
from solo_bg.models.runner_loading import load_safely_everywhere
from solo_bg.models.suggest import empty_weights
from solo_bg.scenes import draw_scene

KINDS = {'solo': 'SOLOHead', 'decoupled': 'DecoupledSOLOHead', 'light': 'DecoupledSOLOLightHead'}


def original_weights(kind):
    """Weights that find instances, under the original's names and in its head."""
    stock, ours = make_heads(KINDS[kind], strides=original_solo.STRIDES)
    head = original_solo.Head(kind, CLASSES, CHANNELS, 2, GRIDS).eval()
    renamed = from_original({f'bbox_head.{name}': name for name in head.state_dict()})
    back = {name: stock.state_dict()[new.removeprefix('mask_head.')] for new, name in renamed.items()}
    assert len(back) == len(stock.state_dict())
    head.load_state_dict(back)
    return head, stock, ours


@pytest.mark.parametrize('kind', KINDS)
def test_the_original_and_ours_agree(kind):
    head, stock, ours = original_weights(kind)
    x, cut, size = features(), (90, 128), (61, 87)
    with torch.no_grad():
        masks, labels, scores = original_solo.decode(*head(x), cut, size)
        (found,) = ours.find(x, [{'img_shape': cut, 'ori_shape': size}])
        (theirs,) = stock.predict(x, samples((cut, size)))
    expected = SimpleNamespace(masks=masks, labels=labels, scores=scores)
    assert len(found) > 10
    assert_agree(found, expected)
    assert_agree(found, theirs)


def test_names():
    given = {
        'backbone.conv1.weight': 1,
        'neck.fpn_convs.0.conv.bias': 2,
        'bbox_head.ins_convs.0.conv.weight': 3,
        'bbox_head.ins_convs_x.6.gn.bias': 4,
        'bbox_head.cate_convs.3.gn.weight': 5,
        'bbox_head.solo_ins_list.4.bias': 6,
        'bbox_head.dsolo_ins_list_y.0.weight': 7,
        'bbox_head.solo_cate.weight': 8,
        'bbox_head.dsolo_cate.bias': 9,
        'bbox_head.kernel_convs.2.gn.bias': 10,
        'bbox_head.solo_kernel.weight': 11,
        'mask_feat_head.convs_all_levels.3.conv0.conv.weight': 12,
        'mask_feat_head.conv_pred.0.gn.weight': 13,
    }
    assert is_original(given) and from_original(given) == {
        'backbone.conv1.weight': 1,
        'neck.fpn_convs.0.conv.bias': 2,
        'mask_head.mask_convs.0.conv.weight': 3,
        'mask_head.mask_convs_x.6.gn.bias': 4,
        'mask_head.cls_convs.3.gn.weight': 5,
        'mask_head.conv_mask_list.4.bias': 6,
        'mask_head.conv_mask_list_y.0.weight': 7,
        'mask_head.conv_cls.weight': 8,
        'mask_head.conv_cls.bias': 9,
        'mask_head.kernel_convs.2.gn.bias': 10,
        'mask_head.conv_kernel.weight': 11,
        'mask_head.mask_feature_head.convs_all_levels.3.conv0.conv.weight': 12,
        'mask_head.mask_feature_head.conv_pred.gn.weight': 13,
    }


@pytest.mark.parametrize(
    'name', ['bbox_head.fc_cls.weight', 'mask_head.conv_cls.bias', 'bbox_head.kernel_convs.0.0.conv.weight']
)
def test_what_others_call_alike_keeps_its_name(name):
    """The last one is RTMDet-Ins's."""
    assert not is_original({name: 1}) and from_original({name: 1}) == {name: 1}


def test_training_starts_from_them_too(tmp_path, monkeypatch):
    from mmengine.runner.checkpoint import CheckpointLoader

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    load_safely_everywhere()
    torch.save({'state_dict': {'bbox_head.solo_cate.bias': torch.ones(3)}}, tmp_path / 'a.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    assert list(loaded['state_dict']) == ['mask_head.conv_cls.bias']


@pytest.mark.parametrize('file', FILES)
def test_every_weight_of_every_file_has_its_place(file):
    *_, name, overrides = FILES[file]
    config = Config.fromfile(*zoo.config_files(f'*/{name}'))
    config.merge_from_dict(overrides)
    expected = {name: tuple(value.shape) for name, value in empty_weights(config).items()}
    assert from_original(shapes(file)) == expected


def test_the_original_solov2_and_mmdets_agree(tmp_path):
    config, original, image = (
        small_solov2(),
        Original(CLASSES, (32, 64, 32, 64), 2, GRIDS).eval(),
        draw_scene(7, 140, 200)[0],
    )
    torch.manual_seed(0)
    for module in original.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
    torch.nn.init.constant_(original.bbox_head.solo_cate.bias, -3.5)  # fewer candidates
    state = original.state_dict()
    for name, value in empty_weights(config).items():
        if not name.startswith('mask_head.'):
            state[name] = random_weight(name, value.shape)
    torch.save({'state_dict': state, 'meta': {'CLASSES': tuple('abcde')}}, tmp_path / 'a.pth')
    segmenter = Segmenter(config, tmp_path / 'a.pth', 'cpu')
    (found,) = segmenter([image])
    prepared = segmenter.prepare(image)
    with torch.no_grad():
        data = segmenter.model.data_preprocessor({key: [value] for key, value in prepared.items()}, False)
        assert data['inputs'].shape[-2:] == (192, 256)
        feats = segmenter.model.extract_feat(data['inputs'])
        masks, labels, scores = original.find(feats, (179, 256), (140, 200))
    assert len(found) > 20 and 0.1 < found.masks.float().mean() < 0.9 and found.class_names == tuple('abcde')
    assert_agree(found, SimpleNamespace(masks=masks, labels=labels, scores=scores))


def small_solov2():
    config = Config.fromfile(zoo.find('solov2-light_r18_fpn_ms-3x_coco').config)
    config.merge_from_dict({'test_dataloader.dataset.pipeline.1.scale': (256, 192)})
    config.model.backbone.update(base_channels=16, stem_channels=16)
    config.model.neck.update(in_channels=[16, 32, 64, 128], out_channels=32)
    config.model.mask_head.update(num_classes=CLASSES, in_channels=32, feat_channels=64, num_grids=GRIDS)
    config.model.mask_head.mask_feature_head.update(feat_channels=32, out_channels=64)
    return config


def random_weight(name, shape):
    if len(shape) > 1:
        return torch.randn(shape) * (2 / shape[1:].numel()) ** 0.5
    return torch.zeros(shape) if name.endswith(('bias', 'running_mean', 'tracked')) else torch.ones(shape)


def test_they_are_recognised_on_loading_and_converted_by_the_tool(tmp_path):
    head, stock, _ = original_weights('solo')
    state = {f'module.bbox_head.{name}': value for name, value in head.state_dict().items()}
    torch.save({'state_dict': state, 'meta': {'CLASSES': ('a',), 'config': 'import os'}}, tmp_path / 'in.pth')
    loaded = load_checkpoint(tmp_path / 'in.pth')
    assert set(loaded.state_dict) == {f'mask_head.{name}' for name in stock.state_dict()}
    command = [sys.executable, ROOT / 'tools/convert_checkpoint.py', tmp_path / 'in.pth', tmp_path / 'out.pth']
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert written['meta'] == {'CLASSES': ('a',)}
    for name, value in stock.state_dict().items():
        assert torch.equal(written['state_dict'][f'mask_head.{name}'], value)
    again = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert again.returncode == 2 and 'exists already' in again.stderr
