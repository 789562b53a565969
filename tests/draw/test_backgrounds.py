import pickle

import cv2
import numpy as np
import pytest
import torch

from solo_bg.draw import backgrounds
from solo_bg.draw.fills import FILLS, load_fill


@pytest.fixture
def image(rng):
    return torch.from_numpy(rng.integers(0, 256, (20, 31, 3), dtype=np.uint8))


@pytest.mark.parametrize('name', FILLS)
def test_every_fill_keeps_the_contract(name, image):
    before = image.clone()
    first, again = (load_fill(name)(image, backgrounds.random_of(3, 'a.png')) for _ in range(2))
    assert first.dtype == torch.uint8 and tuple(first.shape) in (tuple(image.shape), (3,))
    assert torch.equal(first, again) and torch.equal(image, before)


def test_mean(image):
    expected = np.rint(image.numpy().reshape(-1, 3).mean(0))
    np.testing.assert_array_equal(backgrounds.mean(image, None), expected)
    assert backgrounds.mean(torch.full((1, 2, 3), 255, dtype=torch.uint8), None).tolist() == [255] * 3


def test_noise_depends_on_the_seed_and_on_the_name(image):
    def draw(seed, name):
        return backgrounds.noise(image, backgrounds.random_of(seed, name))

    assert torch.equal(draw(1, 'a.png'), draw(1, 'a.png'))
    assert not torch.equal(draw(1, 'a.png'), draw(2, 'a.png')) and not torch.equal(draw(1, 'a.png'), draw(1, 'b.png'))
    assert draw(0, 'a').float().mean() == pytest.approx(127.5, abs=6)


def test_blur_keeps_the_mean_and_loses_the_detail(image):
    blurred = backgrounds.blur(image, None).float()
    assert blurred.std() < image.float().std() / 2
    assert blurred.mean() == pytest.approx(float(image.float().mean()), abs=6)


def test_a_colour(image):
    assert backgrounds.Colour((1, 2, 3))(image, None).tolist() == [1, 2, 3]


@pytest.mark.parametrize('size', [(40, 31), (20, 90), (7, 5), (20, 31)])
def test_pictures_cover_the_image_and_keep_their_proportions(image, size):
    y, x = np.mgrid[: size[0], : size[1]]
    picture = np.dstack([255 * (y >= size[0] / 2), 255 * (x >= size[1] / 2), np.full(size, 9)]).astype(np.uint8)
    filled = backgrounds.Pictures(1, lambda index: picture)(image, backgrounds.random_of(0, 'a')).numpy()
    assert filled.shape == (20, 31, 3) and (filled[..., 2] == 9).all()
    assert not filled[:8, :, 0].any() and filled[12:, :, 0].all()  # its middle is the image's
    assert not filled[:, :13, 1].any() and filled[:, 18:, 1].all()


def test_one_of_the_pictures_for_each_image(image):
    fill = backgrounds.Pictures(5, lambda index: np.full((3, 3, 3), index, np.uint8))
    drawn = {int(fill(image, backgrounds.random_of(0, str(name)))[0, 0, 0]) for name in range(40)}
    assert drawn == set(range(5))


def test_a_mix_draws_by_weight(image):
    fill = backgrounds.Mix([backgrounds.Colour((1, 1, 1)), backgrounds.Colour((2, 2, 2))], [3, 1], 'ab')
    drawn = [int(fill(image, backgrounds.random_of(0, str(name)))[0]) for name in range(400)]
    assert 0.7 < np.mean(np.array(drawn) == 1) < 0.8


def test_blur_of_a_large_image_is_opencvs_but_for_rounding(rng):
    """It is made small, blurred, and made large again."""
    image = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (1200, 900))
    expected = cv2.GaussianBlur(image, (0, 0), 0.05 * 1200)
    difference = np.abs(backgrounds.blur(torch.from_numpy(image), None).numpy().astype(int) - expected)
    assert difference.mean() < 1 and difference.max() < 8


def test_fills_travel_to_other_processes(image):
    from solo_bg.draw.fills import one_fill

    for name in ('zero', 'noise', '1,2,3'):
        fill = pickle.loads(pickle.dumps(one_fill(name)))
        random = (backgrounds.random_of(0, 'a') for _ in range(2))
        assert torch.equal(fill(image, next(random)), one_fill(name)(image, next(random)))
