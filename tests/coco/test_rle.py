"""Run-length codes against pycocotools, byte by byte."""

import numpy as np
import pytest
import torch
from coco_data import decode
from coco_data import encode as trusted
from hypothesis import given, settings
from hypothesis import strategies as st
from random_masks import random_masks

from solo_bg import Instances
from solo_bg.coco import rle
from solo_bg.core.crops import Crops, Packed


def instances_of(masks):
    return Instances(torch.from_numpy(masks), torch.zeros(len(masks)).long(), torch.ones(len(masks)))


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_encoding_is_pycocotools_byte_for_byte(seed, height, width, chunk):
    masks = random_masks(np.random.default_rng(seed), 9, height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rle, 'CHUNK', chunk)
        assert rle.encode(instances_of(masks)) == [trusted(mask) for mask in masks]


def test_packed_crops_and_views_are_encoded(rng):
    masks = random_masks(rng, 12, 31, 45)
    plain = instances_of(masks)
    crops = Crops(Packed.of(crop) if index % 2 else crop for index, crop in enumerate(plain.crops))
    packed = Instances.from_crops(plain.boxes, crops, plain.size, plain.labels, plain.scores)
    assert rle.encode(packed) == [trusted(mask) for mask in masks]
    assert rle.encode(plain[[]]) == [] and rle.encode(plain[3:5]) == [trusted(mask) for mask in masks[3:5]]


def test_long_runs_have_texts_too():
    mask = np.zeros((2000, 3000), bool)
    mask[10:1990, 100:103] = mask[0, 2900] = mask[:, 2990:] = True
    assert rle.encode(instances_of(mask[None])) == [trusted(mask)]


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_decoding_gives_the_box_and_the_crop(seed, height, width):
    masks = random_masks(np.random.default_rng(seed), 9, height, width)
    for mask, box in zip(masks, instances_of(masks).host_boxes, strict=True):
        runs = rle.from_text(trusted(mask)['counts'])
        assert runs.sum() == mask.size and rle.box_of(runs, (height, width)) == box
        x0, y0, x1, y1 = box
        np.testing.assert_array_equal(rle.crop_of(runs, box, (height, width)), mask[y0:y1, x0:x1])


def test_empty_runs_change_nothing():
    """pycocotools reads them, and other tools write them."""
    runs = np.array([0, 0, 5, 2, 0, 1, 3, 0, 4])
    box = rle.box_of(runs, (5, 3))
    expected = decode({'size': [5, 3], 'counts': runs.tolist()}, (5, 3))
    assert box == instances_of(expected[None]).host_boxes[0]
    np.testing.assert_array_equal(rle.crop_of(runs, box, (5, 3)), expected[box[1] : box[3], box[0] : box[2]])


@pytest.mark.parametrize('seed', range(20))
def test_the_runs_of_a_box(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 9, 2).tolist()
    (x0, x1), (y0, y1) = (sorted(rng.integers(0, side + 1, 2).tolist()) for side in (width, height))
    expected = np.zeros((height, width), bool)
    expected[y0:y1, x0:x1] = True
    runs = rle.runs_of_box((x0, y0, x1, y1), (height, width))
    np.testing.assert_array_equal(decode(rle.as_segmentation(runs, (height, width)), (height, width)), expected)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30))
@settings(deadline=None)
def test_any_runs_survive_as_text(runs):
    assert rle.from_text(rle.to_text(np.array(runs))).tolist() == runs


@pytest.mark.parametrize('text', ['', '!', 'o', 'oooooooo0', '~', '\x80', b'\xff'])
def test_texts_that_are_no_code(text):
    with pytest.raises(ValueError, match='run-length code'):
        rle.from_text(text)


@pytest.mark.gpu
def test_encoding_on_cuda(rng):
    masks = random_masks(rng, 20, 60, 77)
    assert rle.encode(instances_of(masks).to('cuda')) == [trusted(mask) for mask in masks]
