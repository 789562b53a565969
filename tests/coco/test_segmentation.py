"""Segmentations against pycocotools, pixel by pixel."""

import numpy as np
import pytest
from coco_data import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_bg.coco.rle import box_of, crop_of
from solo_bg.coco.segmentation import clip, outline_of


def mask_of(annotation, size):
    """The whole mask, bool (H, W)."""
    runs = outline_of({'id': 9, **annotation}, size).runs
    x0, y0, x1, y1 = box = box_of(runs, size)
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = crop_of(runs, box, size)
    return mask


@given(st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_polygons_are_decoded_as_pycocotools_does(seed):
    """Up to three polygons, inside the image and partly or wholly outside it, crossing themselves and each other."""
    rng = np.random.default_rng(seed)
    height, width = size = tuple(rng.integers(1, 50, 2).tolist())
    reach = rng.choice([0, 0.2, 0.9])
    polygons = [
        rng.uniform(-reach, 1 + reach, (rng.integers(3, 9), 2)) * (width, height) for _ in range(rng.integers(1, 4))
    ]
    if seed % 2:
        polygons = [polygon.round() for polygon in polygons]
    shape = [polygon.ravel().tolist() for polygon in polygons]
    np.testing.assert_array_equal(mask_of({'segmentation': shape}, size), decode(shape, size))


@pytest.mark.parametrize('seed', range(10))
def test_rle_is_decoded_as_pycocotools_does(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 40, 2).tolist())
    mask = rng.random(size) < rng.random() ** 2
    np.testing.assert_array_equal(mask_of({'segmentation': encode(mask)}, size), mask)
    flat = mask.ravel('F').astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()  # where runs begin, the first one being background
    counts = np.diff([0, *edges, len(flat)]).tolist()
    np.testing.assert_array_equal(mask_of({'segmentation': {'size': list(size), 'counts': counts}}, size), mask)


@pytest.mark.parametrize('segmentation', [None, [], {}, [[]]])
def test_without_a_segmentation_the_box_counts(segmentation):
    mask = mask_of({'segmentation': segmentation, 'bbox': [2.5, -1, 3, 4.2]}, (10, 12))
    expected = np.zeros((10, 12), bool)
    expected[0:4, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ('box', 'pixels'),
    [([-10, 2, 5, 4], 0), ([20, 2, 5, 4], 0), ([1, 1, 0, 4], 0), ([-1, -1, 99, 99], 120), ([3, 3, 1, 1], 1)],
)
def test_only_the_part_of_a_box_in_the_image_counts(box, pixels):
    assert mask_of({'bbox': box}, (10, 12)).sum() == pixels


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([[1, 1, 5, 1]], 'has a polygon of 4 numbers'),
        ([[1, 1, 5, 1, 5]], 'has a polygon of 5 numbers'),
        ({'size': [12, 10], 'counts': 'abc'}, r'has an RLE of \[12, 10\]'),
        ({'counts': 'abc'}, 'has a segmentation that is neither'),
        ({'size': [10, 12], 'counts': [5]}, 'has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': [130, -10]}, 'has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': ''}, 'has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': '5'}, 'has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': [1e300]}, 'has a segmentation that is neither'),
        ({'size': [10, 12], 'counts': [2**63 - 1, 2**63 - 1, 122]}, 'has an RLE that does not fill its image'),
        ([[1, 1, 5, 1, 5, float('nan')]], 'has a point at'),
        ([[1, 1, 5, 1, 5, float('inf')]], 'has a point at'),
        ([[1, 1, 5, 1, 5, 1e300]], 'has a point at'),
        ([[1e6, 1, 2e6, 1, 2e6, 5]], r'lies outside its image 12x10, at \(1e\+06, 1\)'),
        ([['a', 'b', 'c', 'd', 'e', 'f']], 'has a segmentation that is neither'),
        ('text', 'has a segmentation that is neither'),
        (5, 'has a segmentation that is neither'),
    ],
)
def test_what_is_no_segmentation_of_the_image(segmentation, message):
    with pytest.raises(ValueError, match=message):
        outline_of({'id': 9, 'segmentation': segmentation}, (10, 12))


def test_a_polygon_may_touch_the_border():
    annotation = {'id': 9, 'segmentation': [[0, 0, 12.4, 0, 12.4, 10.4, 0, 10]]}
    outline = outline_of(annotation, (10, 12))
    assert outline.faults == () and outline.entry is annotation and mask_of(annotation, (10, 12)).all()


def test_a_point_far_away_costs_no_memory():
    """pycocotools would lay out 5 points for each of a billion pixels."""
    outline = outline_of({'id': 9, 'segmentation': [[3, 2, 1e9, 2, 1e9, 8, 3, 8]]}, (10, 12))
    expected = np.zeros((10, 12), bool)
    expected[2:8, 3:] = True
    assert outline.faults == ('clipped',)
    np.testing.assert_array_equal(mask_of({'segmentation': outline.entry['segmentation']}, (10, 12)), expected)


@pytest.mark.parametrize('seed', range(20))
def test_a_clipped_polygon_covers_the_same_points(seed):
    rng = np.random.default_rng(seed)
    polygon = rng.uniform(-60, 90, (rng.integers(3, 8), 2))
    low, high = np.array([-10.0, -10]), np.array([40.0, 30])
    cut = clip(polygon, low, high)
    assert not len(cut) or ((cut >= low - 1e-9) & (cut <= high + 1e-9)).all()
    for x in np.arange(0.5, 30, 3):
        for y in np.arange(0.5, 20, 3):
            assert odd_crossings(polygon, x, y) == odd_crossings(cut, x, y)


def odd_crossings(points, x, y):
    """Whether a point is inside a polygon, by the even-odd rule."""
    inside = False
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
    return inside
