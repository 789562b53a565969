import math

import numpy as np
import pytest
import torch

from solo_bg.mmdet_plugin.roi_warping import paste_mean, warp_rois

ROIS = torch.tensor([[0, 3.2, 5.1, 30.7, 21.3], [0, 0, 0, 48, 32], [1, 7, 9, 7.5, 20]], dtype=torch.float64)


def test_warping_is_the_papers_sum():
    """F(u', v') = sum over u and v of G(u, v; u', v' | box) F(u, v), where G is a product of two hats. The coordinates
    of a feature map are those of its pixels' centres, and beyond its edges it repeats its border."""
    features = np.random.default_rng(0).normal(size=(2, 2, 4, 6))
    warped = warp_rois(torch.from_numpy(features), ROIS, 5, stride=8).numpy()
    assert warped.shape == (3, 2, 5, 5)
    for roi, found in zip(ROIS.tolist(), warped, strict=True):
        image, x0, y0, x1, y1 = roi
        for row in range(5):
            for column in range(5):
                x = min(max((x0 + (x1 - x0) * (column + 0.5) / 5) / 8 - 0.5, 0), 5)
                y = min(max((y0 + (y1 - y0) * (row + 0.5) / 5) / 8 - 0.5, 0), 3)
                hats = np.outer([hat(y - v) for v in range(4)], [hat(x - u) for u in range(6)])
                np.testing.assert_allclose(found[:, row, column], (features[int(image)] * hats).sum((1, 2)), atol=1e-12)


def hat(distance):
    return max(0.0, 1 - abs(distance))


def test_the_gradients_of_warping_by_box_and_features():
    torch.manual_seed(0)
    features = torch.randn(2, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    boxes = ROIS[[0, 2], 1:].clone().requires_grad_()

    def warp(features, boxes):
        return warp_rois(features, torch.cat([ROIS[[0, 2], :1], boxes], 1), 4, stride=8)

    assert torch.autograd.gradcheck(warp, (features, boxes))
    (gradient,) = torch.autograd.grad(warp(features, boxes).sum(), boxes)
    assert (gradient != 0).all()


def test_warping_of_images_without_boxes():
    features = torch.randn(3, 2, 4, 6)
    assert warp_rois(features, torch.zeros(0, 5), 7, 8).shape == (0, 2, 7, 7)
    only_last = torch.tensor([[2, 1.0, 1, 20, 20]])
    torch.testing.assert_close(
        warp_rois(features, only_last, 7, 8), warp_rois(features[2:], only_last * torch.tensor([0, 1, 1, 1, 1]), 7, 8)
    )


@pytest.mark.parametrize('size', [(20, 30), (9, 12)])  # the second image ends inside the boxes
def test_the_mean_of_masks_is_that_of_each_pixel(size):
    rng = np.random.default_rng(0)
    masks, weights = rng.random((3, 4, 4)), np.array([0.5, 1.0, 2.0])
    boxes = np.array([[2.3, 1.2, 14.8, 15.6], [5.0, 4.0, 9.0, 18.0], [-3.0, 2.0, 11.0, 10.5]])
    (x0, y0, x1, y1), mean = paste_mean(*(torch.tensor(one) for one in (masks, boxes, weights)), size)
    assert (x0, y0, x1, y1) == (0, 1, min(15, size[1]), min(18, size[0]))
    expected = np.zeros(size)
    for mask, (left, top, right, bottom), weight in zip(masks, boxes, weights, strict=True):
        for y in range(size[0]):
            for x in range(size[1]):
                if left <= x + 0.5 <= right and top <= y + 0.5 <= bottom:
                    column = min(max((x + 0.5 - left) / (right - left) * 4 - 0.5, 0), 3)
                    row = min(max((y + 0.5 - top) / (bottom - top) * 4 - 0.5, 0), 3)
                    expected[y, x] += weight / weights.sum() * bilinear(mask, row, column)
    np.testing.assert_allclose(mean.numpy(), expected[y0:y1, x0:x1], atol=1e-12)


def bilinear(mask, row, column):
    top, left = min(math.floor(row), 2), min(math.floor(column), 2)
    down, across = row - top, column - left
    upper = mask[top, left] * (1 - across) + mask[top, left + 1] * across
    lower = mask[top + 1, left] * (1 - across) + mask[top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def test_a_box_outside_the_image_has_no_pixels():
    _, mean = paste_mean(torch.ones(1, 4, 4), torch.tensor([[50.0, 60, 70, 80]]), torch.ones(1), (20, 30))
    assert mean.numel() == 0
