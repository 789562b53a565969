"""Where torchvision can be imported, its operators are called, with what they expect.

torchvision is not installed for these tests. A module in its place binds each argument to the parameters that
torchvision documents, and answers with numbers that nothing else gives.
"""

import inspect
import sys
import types

import pytest
import torch
from test_operators import ROIS, draw_boxes

from solo_bg.models.operators import boxes as box_ops
from solo_bg.models.operators import convolutions, torchvision_ops


def nms(boxes, scores, iou_threshold):
    """As documented: xyxy boxes (N, 4); int64 indices, best score first."""


def roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """As documented: boxes (K, 5), the index into the batch first."""


def deform_conv2d(input, offset, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), mask=None):
    """As documented: the groups follow from the shapes."""


@pytest.fixture
def torchvision(monkeypatch):
    """A torchvision that notes its calls, by the names of its arguments, and answers with what `answers` holds."""
    calls, answers = [], {}

    def make(real):
        def fake(*args, **kwargs):
            bound = inspect.signature(real).bind(*args, **kwargs)
            bound.apply_defaults()
            calls.append((real.__name__, dict(bound.arguments)))
            return answers[real.__name__]

        return fake

    ops = types.ModuleType('torchvision.ops')
    for real in (nms, roi_align, deform_conv2d):
        setattr(ops, real.__name__, make(real))
    package = types.ModuleType('torchvision')
    package.ops = ops
    monkeypatch.setitem(sys.modules, 'torchvision', package)
    monkeypatch.setitem(sys.modules, 'torchvision.ops', ops)
    torchvision_ops.torchvision_ops.cache_clear()
    yield types.SimpleNamespace(calls=calls, answers=answers)
    torchvision_ops.torchvision_ops.cache_clear()


def test_nms(rng, torchvision):
    given = torch.from_numpy(draw_boxes(rng, 30)), torch.rand(30)
    torchvision.answers['nms'] = torch.tensor([3, 1])
    assert box_ops.nms(*given, 0.4, 0).tolist() == [3, 1]
    ((name, call),) = torchvision.calls
    assert name == 'nms' and call['iou_threshold'] == 0.4
    assert torch.equal(call['boxes'], given[0]) and torch.equal(call['scores'], given[1])
    assert len(box_ops.nms(*given, 0.4, 1)) > 2 and len(torchvision.calls) == 1  # torchvision has no offset


@pytest.mark.parametrize('mode', [box_ops.AVERAGE, box_ops.MAX])
def test_roi_align(torchvision, mode):
    torch.manual_seed(0)
    input, output = torch.randn(2, 3, 9, 12), torch.zeros(len(ROIS), 3, 2, 4)
    torchvision.answers['roi_align'] = torch.rand_like(output)
    box_ops.roi_align_forward(input, ROIS, output, output.clone(), output.clone(), 2, 4, 0.25, 0, mode, True)
    if mode == box_ops.MAX:  # torchvision has the mean only
        assert not torchvision.calls
        return
    ((name, call),) = torchvision.calls
    assert name == 'roi_align' and torch.equal(output, torchvision.answers['roi_align'])
    assert torch.equal(call['input'], input) and torch.equal(call['boxes'], ROIS)
    expected = {'output_size': (2, 4), 'spatial_scale': 0.25, 'sampling_ratio': 0, 'aligned': True}
    assert {key: call[key] for key in expected} == expected


@pytest.mark.parametrize('modulated', [True, False])
def test_deformable_convolution(torchvision, modulated):
    torch.manual_seed(0)
    input, weight, bias = torch.randn(2, 8, 17, 19), torch.randn(6, 4, 3, 5), torch.randn(6)
    offset, mask, output = torch.randn(2, 4 * 15 * 2, 9, 17), torch.rand(2, 4 * 15, 9, 17), torch.zeros(2, 6, 9, 17)
    spare = torch.zeros(0)
    torchvision.answers['deform_conv2d'] = answer = torch.rand_like(output)
    if modulated:
        geometry = 3, 5, 2, 1, 1, 3, 1, 2, 2, 4, True  # kernel, stride, padding and dilation, each y then x; groups
        convolutions.modulated_deform_conv_forward(input, weight, bias, spare, offset, mask, output, spare, *geometry)
    else:
        geometry = 5, 3, 1, 2, 3, 1, 2, 1, 2, 4, 2  # as above, each x then y
        convolutions.deform_conv_forward(input, weight, offset, output, spare, spare, *geometry)
    torch.testing.assert_close(output, answer + bias[:, None, None] if modulated else answer)
    ((name, call),) = torchvision.calls
    assert name == 'deform_conv2d' and call['bias'] is None
    assert all(torch.equal(call[key], value) for key, value in (('input', input), ('weight', weight)))
    assert torch.equal(call['offset'], offset) and (call['mask'] is mask if modulated else call['mask'] is None)
    assert (call['stride'], call['padding'], call['dilation']) == ((2, 1), (1, 3), (1, 2))


def test_half_precision_stays_with_plain_torch(torchvision, rng):
    boxes, scores = torch.from_numpy(draw_boxes(rng, 30)), torch.rand(30).half()
    assert len(box_ops.nms(boxes, scores, 0.5, 0)) > 2 and not torchvision.calls


@pytest.mark.parametrize('failure', [ImportError('none'), RuntimeError('operator torchvision::nms does not exist')])
def test_without_a_torchvision_that_works(monkeypatch, failure):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name.startswith('torchvision'):
                raise failure

    monkeypatch.setattr(sys, 'meta_path', [Finder(), *sys.meta_path])
    torchvision_ops.torchvision_ops.cache_clear()
    assert torchvision_ops.torchvision_ops() is None
    torchvision_ops.torchvision_ops.cache_clear()
    kept = box_ops.nms(torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]]), torch.tensor([0.9, 0.8]), 0.49, 0)
    assert kept.tolist() == [0]
