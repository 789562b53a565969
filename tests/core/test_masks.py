import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_masks import random_masks
from scipy import ndimage

from solo_bg.core import masks as ops
from solo_bg.core.instances import Instances


def instances_of(masks):
    n = len(masks)
    return Instances(torch.from_numpy(masks), torch.zeros(n, dtype=torch.int64), torch.ones(n))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 40), st.integers(1, 40))
def test_against_scipy_and_brute_force(seed, count, height, width):
    masks = random_masks(np.random.default_rng(seed), count, height, width)
    instances = instances_of(masks)

    for box, mask in zip(instances.boxes.tolist(), masks, strict=True):
        found = ndimage.find_objects(mask.astype(int))
        y, x = found[0] if found else (slice(0, 0), slice(0, 0))
        assert box == [x.start, y.start, x.stop, y.stop]
    assert instances.areas.tolist() == masks.sum((1, 2)).tolist()
    for (x, y), mask in zip(instances.centres.tolist(), masks, strict=True):
        if mask.any():
            np.testing.assert_allclose((y, x), ndimage.center_of_mass(mask), rtol=1e-12, atol=1e-12)
        else:
            assert np.isnan(x) and np.isnan(y)
    owner = np.full((height, width), -1)
    for index in reversed(range(count)):
        owner[masks[index]] = index
    np.testing.assert_array_equal(instances.owner_map, owner)
    np.testing.assert_array_equal(instances.union, masks.any(0) if count else np.zeros((height, width), bool))


@pytest.mark.parametrize('width', [8, 16, 23])
@pytest.mark.parametrize('layout', ['contiguous', 'view', 'offset'])
def test_boxes_do_not_depend_on_the_memory_layout(rng, width, layout):
    masks = torch.from_numpy(random_masks(rng, 30, 17, width))
    expected = ops.boxes_of(masks)
    if layout == 'view':
        masks = torch.stack([masks, ~masks], 1)[:, 0]
    if layout == 'offset':
        masks = torch.cat([torch.zeros(3, dtype=torch.bool), masks.flatten()])[3:].view(30, 17, width)
    torch.testing.assert_close(ops.boxes_of(masks), expected)


def test_resize_is_bilinear_above_a_half(rng):
    import cv2

    masks = random_masks(rng, 20, 13, 21)
    resized = ops.resize_masks(torch.from_numpy(masks), (40, 30))
    assert resized.shape == (20, 40, 30) and resized.dtype == torch.bool
    for got, mask in zip(resized.numpy(), masks, strict=True):
        smooth = cv2.resize(mask.astype(np.float32), (30, 40), interpolation=cv2.INTER_LINEAR)
        clear = np.abs(smooth - 0.5) > 1e-5  # at the threshold either answer is right
        np.testing.assert_array_equal(got[clear], (smooth > 0.5)[clear])


def test_resize_of_nothing():
    assert ops.resize_masks(torch.zeros(0, 4, 4, dtype=torch.bool), (7, 9)).shape == (0, 7, 9)


def test_too_many_instances_for_an_owner_map():
    with pytest.raises(ValueError, match='at most 32767'):
        ops.owner_map([], 32768, (1, 1), torch.device('cpu'))


@pytest.mark.parametrize('radius', [0, 1, 2, 5, 40])
@pytest.mark.parametrize('seed', range(4))
def test_dilating_is_scipys_with_a_disc(radius, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((23, 17)) < (0, 0.01, 0.1, 0.6)[seed]
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    expected = ndimage.binary_dilation(mask, y**2 + x**2 <= radius**2) if radius else mask
    np.testing.assert_array_equal(ops.dilate(torch.from_numpy(mask), radius), expected)
