import cv2
import numpy as np
import pytest
import reference
import torch
from conftest import CLASSES
from hypothesis import given, settings
from hypothesis import strategies as st
from random_masks import random_masks

from solo_bg import Instances, show_result_ins


def draw_both(seed, count, height, width, sort_by_density, score_thr=0.3):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    masks = random_masks(rng, count, height, width)
    labels = rng.integers(0, 3, count)
    scores = rng.random(count).astype(np.float32)
    result = [(torch.from_numpy(masks), torch.from_numpy(labels), torch.from_numpy(scores))]
    ours = show_result_ins(image, result, CLASSES, score_thr, sort_by_density)
    return ours, reference.show_result_ins(image, masks, labels, scores, CLASSES, score_thr, sort_by_density)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(1, 90), st.integers(1, 90), st.booleans())
def test_pixel_for_pixel_as_the_six_rules(seed, count, height, width, sort_by_density):
    ours, rules = draw_both(seed, count, height, width, sort_by_density)
    np.testing.assert_array_equal(ours, rules)


@pytest.mark.parametrize('sort_by_density', [False, True])
def test_all_of_three_hundred_instances(sort_by_density):
    ours, rules = draw_both(1, 300, 120, 200, sort_by_density, score_thr=0.0)
    np.testing.assert_array_equal(ours, rules)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_masks_of_another_size_are_resized(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (44, 60, 3), dtype=np.uint8)
    masks = random_masks(rng, 4, 22, 30)  # half the size: bilinear weights are exact in float32
    labels, scores = np.array([0, 1, 2, 0]), np.ones(4, np.float32)
    ours = show_result_ins(image, [tuple(map(torch.from_numpy, (masks, labels, scores)))], CLASSES)
    np.testing.assert_array_equal(ours, reference.show_result_ins(image, masks, labels, scores, CLASSES))


@pytest.mark.parametrize('result', [None, [None], [(torch.zeros(0, 9, 9), torch.zeros(0), torch.zeros(0))]])
def test_no_instances_give_black(result):
    picture = show_result_ins(np.full((9, 9, 3), 200, np.uint8), result, CLASSES)
    assert picture.shape == (9, 9, 3) and not picture.any()


def test_only_empty_masks_give_black():
    result = [(torch.zeros(2, 9, 9), torch.tensor([0, 1]), torch.tensor([0.9, 0.8]))]
    assert not show_result_ins(np.full((9, 9, 3), 200, np.uint8), result, CLASSES).any()


def test_the_first_given_lies_on_top_whatever_the_scores():
    masks = torch.ones(2, 40, 40, dtype=torch.bool)
    image = np.zeros((40, 40, 3), np.uint8)
    low_first = show_result_ins(image, [(masks, torch.tensor([0, 0]), torch.tensor([0.4, 0.9]))], ('',))
    colour = np.random.RandomState(42).randint(0, 256, (1, 3), dtype=np.uint8)[0]
    assert (low_first[0, 0] == colour // 2).all()


def test_nothing_of_the_caller_is_touched(rng):
    image = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    masks = torch.from_numpy(random_masks(rng, 6, 30, 30))
    before_image, before_masks = image.copy(), masks.clone()
    np.random.seed(7)
    expected = np.random.RandomState(7).random(3)
    show_result_ins(image, [(masks, torch.zeros(6, dtype=torch.int64), torch.ones(6))], CLASSES)
    np.testing.assert_array_equal(image, before_image)
    assert torch.equal(masks, before_masks)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_out_file_is_written_and_none_returned(tmp_path, golden):
    image, instances = golden
    path = tmp_path / 'new' / 'folder' / 'shown.png'
    assert show_result_ins(image, instances, ('', ''), out_file=path) is None
    np.testing.assert_array_equal(cv2.imread(str(path)), show_result_ins(image, instances, ('', '')))


def test_the_image_may_be_a_file(tmp_path, golden):
    image, instances = golden
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    shown = show_result_ins(str(tmp_path / 'a.png'), instances, ('', ''))
    np.testing.assert_array_equal(shown, show_result_ins(image, instances, ('', '')))


def test_names_of_instances_given_without():
    masks = torch.ones(1, 60, 200, dtype=torch.bool)
    image = np.zeros((60, 200, 3), np.uint8)
    unnamed = Instances(masks, torch.tensor([1]), torch.tensor([1.0]))
    named = Instances(masks, torch.tensor([1]), torch.tensor([1.0]), CLASSES)
    np.testing.assert_array_equal(show_result_ins(image, unnamed, CLASSES), show_result_ins(image, named, CLASSES))
    assert (show_result_ins(image, named, CLASSES) == 255).any()
