"""The scenes that measure alpha: their images are mixed as they say."""

import numpy as np
import pytest
from soft_scenes import EDGES, draw_soft_scene


@pytest.mark.parametrize('edge', EDGES)
def test_images_are_mixed_by_alpha(edge):
    scene = draw_soft_scene(0, edge)
    share = scene.alpha[..., None]
    noise = scene.image - (share * scene.colours + (1 - share) * scene.ground).clip(0, 255)
    assert np.abs(noise.mean()) < 0.05 and noise.std() < 1.1
    assert scene.alpha.min() == 0 and scene.alpha.max() <= 1
    assert ((scene.alpha > 0.1) & (scene.alpha < 0.9)).sum() > 200
    np.testing.assert_array_equal(draw_soft_scene(0, edge).image, scene.image)
