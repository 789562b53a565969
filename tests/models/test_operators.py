"""What stands in for mmcv's compiled operators, against the definitions written down as loops over numbers."""

import math

import numpy as np
import pytest
import torch

from solo_bg.models import mmcv_ops
from solo_bg.models.operators import boxes as box_ops
from solo_bg.models.operators import convolutions

try:
    from mmcv import _ext, ops
except ImportError:
    _ext = ops = None

STAND_IN = isinstance(_ext, mmcv_ops.StandIn)


def draw_boxes(rng, count, size=100.0):
    corner = rng.uniform(0, size, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0, size / 2, (count, 2))], 1).astype(np.float32)


def greedy(boxes, scores, threshold, offset):
    """The definition: best first, each box is kept unless it overlaps a kept one too much."""
    kept = []
    for one in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        if all(iou(boxes[one], boxes[other], offset) <= threshold for other in kept):
            kept.append(one)
    return kept


def iou(one, other, offset):
    def area(box):
        return (box[2] - box[0] + offset) * (box[3] - box[1] + offset)

    width = max(min(one[2], other[2]) - max(one[0], other[0]) + offset, np.float32(0))
    height = max(min(one[3], other[3]) - max(one[1], other[1]) + offset, np.float32(0))
    return width * height / (area(one) + area(other) - width * height)


@pytest.mark.parametrize('block', [7, 1024])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms_is_greedy_suppression(rng, monkeypatch, threshold, offset, block):
    monkeypatch.setattr(box_ops, 'BLOCK', block)
    boxes, scores = draw_boxes(rng, 150), rng.integers(0, 40, 150).astype(np.float32)  # many ties
    boxes[100:120] = boxes[80:100]  # and boxes that are the same
    kept = box_ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou_threshold=threshold, offset=offset)
    assert kept.tolist() == greedy(boxes, scores, threshold, offset)
    assert 5 < len(kept) < 140


def test_nms_of_a_chain_where_each_overlaps_the_next():
    """Every second one stays: whether a box does depends on all before it."""
    left = torch.arange(300.0) * 6
    boxes = torch.stack([left, torch.zeros(300), left + 10, torch.ones(300)], 1)
    kept = box_ops.nms(boxes, torch.linspace(1, 0, 300), iou_threshold=0.2, offset=0)
    assert kept.tolist() == list(range(0, 300, 2))


def test_nms_at_the_threshold_and_of_little():
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1], [5, 5, 5, 5], [5, 5, 5, 5]])  # the first two: 0.5 exactly
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert box_ops.nms(boxes, scores, 0.5, 0).tolist() == [0, 1, 2, 3]  # boxes without area overlap nothing
    assert box_ops.nms(boxes, scores, 0.49, 0).tolist() == [0, 2, 3]
    nothing = box_ops.nms(boxes[:0], scores[:0], 0.5, 0)
    assert nothing.shape == (0,) and nothing.dtype == torch.int64


@pytest.mark.skipif(not STAND_IN, reason='a compiled mmcv is installed here, or none')
def test_mmcvs_batched_nms_uses_it(rng):
    boxes, scores = draw_boxes(rng, 60), rng.permutation(60).astype(np.float32) / 60
    classes = rng.integers(0, 3, 60)
    found, kept = ops.batched_nms(
        *map(torch.from_numpy, (boxes, scores, classes)), {'type': 'nms', 'iou_threshold': 0.3}, class_agnostic=False
    )
    wanted = [index for c in range(3) for index in greedy_of(boxes, scores, np.flatnonzero(classes == c))]
    assert sorted(kept.tolist()) == sorted(wanted)
    np.testing.assert_array_equal(found[:, :4], boxes[kept])


def greedy_of(boxes, scores, indices):
    return indices[greedy(boxes[indices], scores[indices], 0.3, 0)].tolist()


def reference_roi_align(image, roi, bins, scale, ratio, aligned, mode):
    """One box on one image (C, H, W): for each bin all its points, for each point its four neighbours."""
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (value * scale - shift for value in roi)
    height, width = y2 - y1, x2 - x1
    if not aligned:
        height, width = max(height, 1.0), max(width, 1.0)
    ny, nx = ratio or math.ceil(height / bins[0]), ratio or math.ceil(width / bins[1])
    out = np.zeros((len(image), *bins))
    for row, column in np.ndindex(*bins):
        points = [
            interpolate(
                image, y1 + (row + (i + 0.5) / ny) * height / bins[0], x1 + (column + (j + 0.5) / nx) * width / bins[1]
            )
            for i in range(ny)
            for j in range(nx)
        ]
        if points:
            out[:, row, column] = np.mean(points, 0) if mode == 'avg' else np.max(points, 0)
    return out


def interpolate(image, y, x):
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[:, top, left] * (1 - (x - left)) + image[:, top, right] * (x - left)
    lower = image[:, bottom, left] * (1 - (x - left)) + image[:, bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


ROIS = torch.tensor(
    [
        [0, 3.3, 2.1, 27.9, 30.5],
        [1, -20.0, -7.0, 11.0, 6.0],  # partly outside
        [1, 40.0, 20.0, 90.0, 70.0],
        [0, 5.0, 5.0, 5.7, 5.4],  # below a pixel
        [1, 8.0, 8.0, 8.0, 20.0],  # without area
        [0, 0.0, 0.0, 48.0, 36.0],
        [0, 500.0, 500.0, 520.0, 520.0],  # outside altogether
    ]
)


def pool(input, rois, bins, scale, ratio, mode, aligned):
    output = input.new_full((len(rois), input.shape[1], *bins), math.nan)
    argmax = [torch.zeros_like(output) for _ in range(2)]
    number = {'max': box_ops.MAX, 'avg': box_ops.AVERAGE}[mode]
    box_ops.roi_align_forward(input, rois, output, *argmax, *bins, scale, ratio, number, aligned)
    return output, argmax


@pytest.mark.parametrize('at_once', [1, 1 << 24])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_is_its_definition(monkeypatch, mode, ratio, aligned, at_once):
    monkeypatch.setattr(box_ops, 'SAMPLES', at_once)
    torch.manual_seed(0)
    input = torch.randn(2, 3, 9, 12)
    found, argmax = pool(input, ROIS, (2, 3), 0.25, ratio, mode, aligned)
    for roi, one in zip(ROIS.tolist(), found, strict=True):
        image = input[int(roi[0])].double().numpy()
        wanted = reference_roi_align(image, roi[1:], (2, 3), 0.25, ratio, aligned, mode)
        np.testing.assert_allclose(one, wanted, atol=2e-5)
    if mode == 'max':
        channel = input[0].double().numpy()
        for index in np.ndindex(3, 2, 3):
            y, x = (float(one[0][index]) for one in argmax)
            assert interpolate(channel, y, x)[index[0]] == pytest.approx(float(found[0][index]), abs=2e-5)


@pytest.mark.skipif(not STAND_IN, reason='a compiled mmcv is installed here, or none')
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_through_mmcv_has_its_derivative(mode):
    torch.manual_seed(0)
    input = torch.randn(2, 2, 9, 12, dtype=torch.float64, requires_grad=True)
    rois = ROIS.double()

    def align(given):
        return ops.roi_align(given, rois, (2, 3), 0.25, 0, mode, True)

    assert torch.autograd.gradcheck(align, input, fast_mode=True)
    nothing = ops.roi_align(input, rois[:0], (2, 3), 0.25, 0, mode, True)
    nothing.sum().backward()
    assert nothing.shape == (0, 2, 2, 3) and not input.grad.any()


@pytest.mark.skipif(not STAND_IN, reason='a compiled mmcv is installed here, or none')
@pytest.mark.parametrize('modulated', [True, False])
def test_deformable_convolution_that_does_not_move_is_a_convolution(modulated):
    torch.manual_seed(0)
    kind = ops.ModulatedDeformConv2d if modulated else ops.DeformConv2d
    conv = kind(8, 6, (3, 5), stride=(2, 1), padding=(1, 4), dilation=(1, 2), groups=2, deform_groups=2, bias=False)
    input = torch.randn(2, 8, 10, 11)
    wanted = torch.nn.functional.conv2d(input, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
    offset = torch.zeros(2, 2 * 2 * 15, *wanted.shape[-2:])
    factors = [torch.full((2, 2 * 15, *wanted.shape[-2:]), 0.5)] if modulated else []
    torch.testing.assert_close(conv(input, offset, *factors), wanted / 2 if modulated else wanted)


@pytest.mark.skipif(not STAND_IN, reason='a compiled mmcv is installed here, or none')
def test_deformable_convolution_samples_where_the_offsets_say():
    """Against four neighbours and a sum, for every place, channel and tap."""
    torch.manual_seed(1)
    input, weight, bias = torch.randn(1, 4, 6, 7), torch.randn(2, 4, 3, 3), torch.randn(2)
    offset, mask = torch.randn(1, 2 * 2 * 9, 6, 7) * 2, torch.rand(1, 2 * 9, 6, 7)
    found = ops.modulated_deform_conv2d(input, offset, mask, weight, bias, 1, 1, 1, 1, 2)
    padded = np.pad(input[0].double().numpy(), ((0, 0), (9, 9), (9, 9)))
    wanted = bias.double().numpy()[:, None, None] * np.ones((1, 6, 7))
    for y, x, tap, group in np.ndindex(6, 7, 9, 2):
        dy, dx = offset[0, (group * 9 + tap) * 2 :, y, x][:2].tolist()
        at = max(min(y - 1 + tap // 3 + dy + 9, 22), 0), max(min(x - 1 + tap % 3 + dx + 9, 23), 0)
        values = interpolate(padded[group * 2 : group * 2 + 2], *at) * float(mask[0, group * 9 + tap, y, x])
        wanted[:, y, x] += weight[:, group * 2 : group * 2 + 2, tap // 3, tap % 3].double().numpy() @ values
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)


@pytest.mark.skipif(not STAND_IN, reason='a compiled mmcv is installed here, or none')
def test_carafe_is_its_definition(rng):
    features, masks = rng.normal(size=(1, 4, 3, 4)), rng.normal(size=(1, 2 * 9, 6, 8))
    found = ops.carafe(torch.from_numpy(features), torch.from_numpy(masks), 3, 2, 2)
    padded = np.pad(features[0], ((0, 0), (1, 1), (1, 1)))
    for c, y, x in np.ndindex(4, 6, 8):
        patch = padded[c, y // 2 : y // 2 + 3, x // 2 : x // 2 + 3]
        kernel = masks[0, c // 2 * 9 :, y, x][:9].reshape(3, 3)
        assert float(found[0, c, y, x]) == pytest.approx((patch * kernel).sum())


def test_deformable_attention_of_one_point_is_bilinear_sampling():
    torch.manual_seed(2)
    values = torch.randn(1, 5 * 4, 1, 3)  # a map of 5x4, one head of 3 channels
    at = torch.rand(1, 6, 1, 1, 1, 2) * 0.6 + 0.2  # x, y as fractions of the map
    found = convolutions.ms_deform_attn_forward(
        values, torch.tensor([[5, 4]]), torch.tensor([0]), at, torch.ones(1, 6, 1, 1, 1), im2col_step=64
    )
    image = values[0, :, 0].T.reshape(3, 5, 4).double().numpy()
    for (x, y), one in zip(at[0, :, 0, 0, 0].tolist(), found[0], strict=True):
        np.testing.assert_allclose(one, interpolate(image, y * 5 - 0.5, x * 4 - 0.5), atol=1e-5)
