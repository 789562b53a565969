"""The style `instances`: crops whose colours and opacity are those of the image and its masks."""

import numpy as np
import pytest
import torch

from solo_bg import Instances
from solo_bg.draw.instance_crops import instance_crops
from solo_bg.draw.styles import load_part_style


def put_back(parts, size):
    """The opacity of all parts together, uint8 (H, W)."""
    canvas = np.zeros(size, np.uint8)
    for part in parts:
        x0, y0, x1, y1 = part.facts['box']
        canvas[y0:y1, x0:x1] = np.maximum(canvas[y0:y1, x0:x1], part.picture[..., 3].numpy())
    return canvas


def test_golden(golden):
    image, instances = golden
    first, second = instance_crops(torch.from_numpy(image), instances)
    np.testing.assert_array_equal(first.picture[..., :3], image[1:4, 1:4])
    assert (first.picture[..., 3] == 255).all()
    np.testing.assert_array_equal(second.picture[..., :3], image[2:7, 3:6])
    assert (second.picture[..., 3] == 255).all()  # its own mask, whole, though the first one lies on top
    assert (first.number, second.number) == (0, 1)
    known = {'class': '', 'width': 3, 'height': 3, 'area': 9, 'box': [1, 1, 4, 4], 'score': 0.9, 'at_edge': False}
    assert first.facts == known


def test_the_order_of_the_box_and_the_edge():
    masks = torch.zeros(4, 6, 9, dtype=torch.bool)
    masks[0, 0, 3], masks[1, 5, 3], masks[2, 2, 8], masks[3, 1:3, 1:8] = True, True, True, True
    found = instance_crops(
        torch.zeros(6, 9, 3, dtype=torch.uint8), Instances(masks, torch.zeros(4).long(), torch.ones(4))
    )
    assert [part.facts['at_edge'] for part in found] == [True, True, True, False]
    assert found[3].facts['box'] == [1, 1, 8, 3] and (found[3].facts['width'], found[3].facts['height']) == (7, 2)


def test_an_instance_without_pixels_has_no_crop_and_keeps_its_number():
    masks = torch.zeros(3, 6, 9, dtype=torch.bool)
    masks[0, 1, 1] = masks[2, 2, 2] = True
    found = instance_crops(
        torch.zeros(6, 9, 3, dtype=torch.uint8), Instances(masks, torch.zeros(3).long(), torch.ones(3))
    )
    assert [part.number for part in found] == [0, 2]
    assert instance_crops(torch.zeros(6, 9, 3, dtype=torch.uint8), Instances.empty((6, 9))) == []


def test_with_alpha_the_crops_together_have_it_and_each_soft_pixel_goes_to_the_nearest(rng):
    masks = torch.zeros(2, 20, 40, dtype=torch.bool)
    masks[0, 5:12, 5:12] = masks[1, 5:15, 25:33] = True
    alpha = torch.from_numpy(rng.integers(0, 128, (20, 40)).astype(np.uint8))
    alpha[masks.any(0)] = torch.from_numpy(rng.integers(128, 256, int(masks.any(0).sum())).astype(np.uint8))
    alpha[:, 36:] = 0
    instances = Instances(masks, torch.zeros(2).long(), torch.ones(2)).with_alpha(alpha)
    parts = load_part_style('instances')(torch.zeros(20, 40, 3, dtype=torch.uint8), instances)
    np.testing.assert_array_equal(put_back(parts, (20, 40)), alpha)
    rows, columns = np.nonzero(np.array(alpha) * ~masks.any(0).numpy())
    points = [np.argwhere(mask.numpy()) for mask in masks]
    near = [np.linalg.norm(np.stack([rows, columns], 1)[:, None] - one, axis=2).min(1) for one in points]
    clear = np.abs(near[0] - near[1]) > 1  # OpenCV's distances are not exact
    for number, part in enumerate(parts):
        own = put_back([part], (20, 40))[rows, columns] > 0
        np.testing.assert_array_equal(own[clear], (near[number] < near[1 - number])[clear])
    assert [part.facts['area'] for part in parts] == [49, 80]


def test_an_image_of_another_size_is_refused(golden):
    with pytest.raises(ValueError, match='height and width'):
        instance_crops(torch.zeros(7, 8, 3, dtype=torch.uint8), golden[1])
