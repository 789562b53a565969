"""The original repository's weights, renamed, in mmdet's heads and in ours: the answers of the original's own."""

import subprocess
import sys
from types import SimpleNamespace

import original_solo
import pytest
import torch
from agreement import assert_agree
from conftest import ROOT
from test_lazy_solo import CHANNELS, CLASSES, GRIDS, features, make_heads, samples

from solo_bg.checkpoint import load_checkpoint
from solo_bg.convert import from_original, is_original

KINDS = {'solo': 'SOLOHead', 'decoupled': 'DecoupledSOLOHead', 'light': 'DecoupledSOLOLightHead'}


def original_weights(kind):
    """Weights that find instances, under the original's names and in its head."""
    stock, ours = make_heads(KINDS[kind], strides=original_solo.STRIDES)
    head = original_solo.Head(kind, CLASSES, CHANNELS, 2, GRIDS).eval()
    back = {}
    for name in head.state_dict():
        (renamed,) = from_original({f'bbox_head.{name}': None})
        back[name] = stock.state_dict()[renamed.removeprefix('mask_head.')]
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
    }
    assert not is_original({'bbox_head.fc_cls.weight': 1, 'mask_head.conv_cls.bias': 2})


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
