"""The opacity that instances carry: uint8 (H, W), and the union of the masks is where it is above 127."""

import numpy as np
import pytest
import torch
from conftest import CLASSES
from random_masks import random_masks
from scipy import ndimage

from solo_bg import Instances, as_instances
from solo_bg.core.masks import nearest_owner
from solo_bg.draw.styles import load_style


@pytest.fixture
def three(rng):
    """Three instances whose alpha is soft inside and around their masks."""
    masks = torch.zeros(3, 12, 16, dtype=torch.bool)
    masks[0, 1:5, 1:5] = masks[1, 3:8, 4:9] = masks[2, 9:11, 12:15] = True
    soft = torch.from_numpy(rng.integers(0, 128, (12, 16), dtype=np.uint8))
    instances = Instances(masks, torch.tensor([0, 1, 2]), torch.tensor([0.9, 0.8, 0.4]), CLASSES)
    return instances.with_alpha(soft + 128 * masks.any(0).to(torch.uint8))


def test_instances_have_no_alpha_until_it_is_given(golden):
    assert golden[1].alpha is None and golden[1][:1].alpha is None and golden[1].grow(2).alpha is None


@pytest.mark.parametrize(
    'change',
    [
        lambda one: one[:],
        lambda one: one[[2, 0, 1]],
        lambda one: one[[2, 0, 1, 1]],
        lambda one: one.select(0.1),
        lambda one: one.select(0.1, CLASSES),
        lambda one: one.sort_by_area(),
        lambda one: one.to('cpu'),
        lambda one: one.grow(2),
    ],
)
def test_alpha_stays_where_all_instances_stay(three, change):
    assert torch.equal(change(three).alpha, three.alpha)


def test_naming_the_classes_keeps_alpha_and_margin(three):
    unnamed = Instances(three.masks, three.labels, three.scores).with_alpha(three.alpha).grow(3)
    named = as_instances(unnamed, three.size, CLASSES)
    assert named.names == list(CLASSES) and torch.equal(named.alpha, three.alpha) and named.margin == 3


def test_alpha_of_some_is_zero_outside_their_masks(three):
    some = three.select(0.5)
    inside = three.masks[:2].any(0)
    assert torch.equal(some.alpha, torch.where(inside, three.alpha, 0))
    assert torch.equal(some.union, some.alpha > 127)
    assert three.alpha[~inside].any()  # the given instances did not change
    assert not three[[]].alpha.any()


def test_where_alpha_and_masks_agree_the_masks_do_not_change(three):
    again = three.with_alpha(three.alpha)
    assert torch.equal(again.masks, three.masks) and again.names == three.names
    assert torch.equal(again.scores, three.scores)


def test_masks_follow_an_alpha_that_differs(rng):
    masks = torch.from_numpy(random_masks(rng, 6, 20, 26))
    masks[3] = True
    masks[3, :, 12:] = False
    masks[[0, 1, 2, 4, 5], 2:18, 3:20] = False
    instances = Instances(masks, torch.zeros(6).long(), torch.ones(6)).grow(2)
    alpha = torch.from_numpy(rng.integers(0, 256, (20, 26), dtype=np.uint8))
    fitted = instances.with_alpha(alpha)
    assert torch.equal(fitted.union, alpha > 127) and torch.equal(fitted.alpha, alpha) and fitted.margin == 2
    assert not (fitted.masks & masks)[:, alpha <= 127].any()
    assert torch.equal((fitted.masks & masks), masks & (alpha > 127))
    gained = (fitted.masks & ~masks).sum(0)
    assert torch.equal(gained > 0, (alpha > 127) & ~masks.any(0)) and gained.max() == 1


def test_a_new_pixel_belongs_to_the_nearest_instance(rng):
    owner = np.full((30, 40), -1, np.int16)
    for index, (y, x) in enumerate(rng.integers(0, 30, (7, 2))):
        owner[y : y + 3, x : x + 2] = index
    filled = nearest_owner(torch.from_numpy(owner)).numpy()
    distances = np.stack(
        [ndimage.distance_transform_edt(owner != index) for index in range(7) if (owner == index).any()]
    )
    present = [index for index in range(7) if (owner == index).any()]
    chosen = np.take_along_axis(distances, np.array([[present.index(k) for k in row] for row in filled])[None], 0)[0]
    assert (chosen <= distances.min(0) + 0.6).all()  # OpenCV's 5x5 distances are approximate
    np.testing.assert_array_equal(filled[owner >= 0], owner[owner >= 0])


def test_joined_alpha_is_the_larger_and_masks_without_are_opaque(three):
    masks = torch.zeros(1, 12, 16, dtype=torch.bool)
    masks[0, 4:10, 6:13] = True
    hard = Instances(masks, torch.tensor([0]), torch.ones(1), CLASSES).grow(1)
    for joined in (three.join(hard), hard.join(three)):
        assert torch.equal(joined.alpha, torch.where(masks[0], 255, three.alpha.int()).to(torch.uint8))
        assert torch.equal(joined.union, joined.alpha > 127) and joined.margin == 1


@pytest.mark.parametrize(
    'alpha', [torch.zeros(12, 15, dtype=torch.uint8), torch.zeros(12, 16), torch.zeros(1, 12, 16, dtype=torch.uint8)]
)
def test_an_alpha_that_does_not_fit_is_refused(three, alpha):
    with pytest.raises(ValueError, match='alpha must be uint8'):
        three.with_alpha(alpha)


def test_an_opaque_pixel_needs_an_instance():
    nothing = Instances.empty((4, 5))
    assert torch.equal(
        nothing.with_alpha(torch.full((4, 5), 127, dtype=torch.uint8)).alpha.unique(), torch.tensor([127])
    )
    with pytest.raises(ValueError, match='no pixels that they could belong to'):
        nothing.with_alpha(torch.full((4, 5), 128, dtype=torch.uint8))


def test_cutout_uses_alpha_and_the_other_styles_stay_hard(three, rng):
    image = torch.from_numpy(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    cutout = load_style('cutout')(image, three)
    assert torch.equal(cutout[..., 3], three.alpha) and torch.equal(cutout[..., :3], image)
    assert torch.equal(load_style('mask')(image, three), (three.alpha > 127).to(torch.uint8) * 255)
    assert torch.equal(load_style('eliminated')(image, three), image * (three.alpha > 127)[..., None])


def test_a_margin_around_a_soft_union_is_opaque(three):
    grown = three.grow(1)
    opacity = load_style('cutout')(torch.zeros(12, 16, 3, dtype=torch.uint8), grown)[..., 3]
    ring = grown.foreground & ~grown.union
    assert (opacity[ring] == 255).all() and torch.equal(opacity[~ring], three.alpha[~ring])
