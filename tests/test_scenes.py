import numpy as np
import pytest

from solo_bg.scenes import draw_scene


@pytest.mark.parametrize('seed', range(5))
def test_a_scene_is_a_function_of_its_seed(seed):
    image, masks = draw_scene(seed, 64, 80)
    again, same = draw_scene(seed, 64, 80)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(masks, same)
    assert image.shape == (64, 80, 3) and image.dtype == np.uint8
    assert masks.dtype == bool and masks.shape[1:] == (64, 80)
    assert (masks.sum(0) <= 1).all()  # what is visible of one shape is not of another
    assert (masks.sum((1, 2)) >= 60).all() or len(masks) == 1


def test_many_small_scenes_have_shapes():
    assert all(draw_scene(seed, 64, 80)[1].any() for seed in range(60))
