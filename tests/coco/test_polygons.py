"""Polygons of masks, read back by pycocotools."""

import numpy as np
import pytest
import torch
from coco_data import decode
from random_masks import random_masks

from solo_bg import Instances
from solo_bg.coco.polygons import polygons


def polygons_of(masks):
    masks = torch.from_numpy(np.asarray(masks))
    return polygons(Instances(masks, torch.zeros(len(masks)).long(), torch.ones(len(masks))))


def check(masks):
    for mask, shape in zip(masks, polygons_of(masks), strict=True):
        assert bool(shape) == mask.any()
        if shape:
            assert all(len(polygon) >= 8 for polygon in shape)
            np.testing.assert_array_equal(decode(shape, mask.shape), mask)


@pytest.mark.parametrize('size', [(3, 3), (5, 2), (1, 6)])
def test_every_small_mask_comes_back(size):
    """With all its holes, parts, and parts that touch at a corner."""
    count = size[0] * size[1]
    bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    check(bits.reshape(-1, *size).astype(bool))


@pytest.mark.parametrize('seed', range(10))
def test_random_masks_come_back(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2)
    check(random_masks(rng, 20, height, width))
    check(rng.random((5, height, width)) < rng.random((5, 1, 1)))


def test_a_box_has_four_points_and_parts_have_polygons_of_their_own():
    mask = np.zeros((2, 9, 12), bool)
    mask[0, 2:5, 3:8] = mask[1, 1:3, 1:3] = mask[1, 5:8, 6:11] = True
    (box,), parts = polygons_of(mask)
    assert sorted(zip(box[::2], box[1::2], strict=True)) == [(3, 2), (3, 5), (8, 2), (8, 5)]
    assert len(parts) == 2


def test_a_hole_is_part_of_its_polygon():
    mask = np.zeros((1, 9, 12), bool)
    mask[0, 1:8, 1:11] = True
    mask[0, 3:5, 3:6] = mask[0, 6, 8] = False
    ((polygon,),) = polygons_of(mask)
    assert len(polygon) == 2 * (4 + 2 * (4 + 2))  # each hole adds its corners and a way there and back
    check(mask)
