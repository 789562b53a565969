"""What is pasted, recomposed by hand."""

import numpy as np
import pytest
from banks import make_bank, noise_crops
from scipy.ndimage import gaussian_filter

from solo_bg.bank import paste
from solo_bg.bank.place import Rules

PLAIN = {'size': 'pixels', 'scale': (1, 1), 'flip': 0, 'feather': 0}
NO_MASKS, NO_BOXES = np.zeros((0, 80, 120), bool), np.zeros((0, 4))


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (80, 120, 3), dtype=np.uint8)


def crop_of(bank, item):
    return bank.read(item).astype(float)


def place_in(image, crop):
    """Where an opaque crop of noise is in an image, (x, y)."""
    height, width = crop.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(image, (height, width, 3))[:, :, 0]
    ((y, x),) = np.argwhere((windows == crop[..., :3]).all((2, 3, 4)))
    return x, y


@pytest.mark.parametrize('flip', [0, 1])
def test_one_crop_by_hand(tmp_path, rng, image, flip):
    bank = make_bank(tmp_path, noise_crops(rng, [(13, 17)]))
    before = image.copy()
    done = paste.paste_some(image, NO_MASKS, NO_BOXES, bank, Rules(**{**PLAIN, 'count': (1, 1), 'flip': flip}), rng)
    crop = crop_of(bank, done.items[0])[:, :: -1 if flip else 1]
    x, y = place_in(done.image, crop)
    expected, mask = image.copy(), np.zeros((80, 120), bool)
    expected[y : y + 13, x : x + 17] = crop[..., :3]
    mask[y : y + 13, x : x + 17] = True
    np.testing.assert_array_equal(done.image, expected)
    np.testing.assert_array_equal(done.masks, mask[None])
    np.testing.assert_array_equal(image, before)
    assert done.changed.all() and not len(done.kept)


def test_several_crops_by_hand_the_last_one_on_top(tmp_path, rng, image):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]
    bank = make_bank(tmp_path, [np.full((30, 40, 4), (*colour, 255), np.uint8) for colour in colours])
    old = np.zeros((1, 80, 120), bool)
    old[0, 20:60, 30:90] = True
    rules = Rules(**PLAIN, count=(14, 14), hide=1, bbox_occluded_thr=0, mask_occluded_thr=0)
    seen = 0
    for _ in range(5):
        done = paste.paste_some(image, old, np.array([[30, 20, 90, 60]]), bank, rules, rng)
        assert (done.masks.sum(0) <= 1).all() and done.masks.any((1, 2)).all()
        expected = image.copy()
        for item, mask in zip(done.items, done.masks[int(done.kept[0]) :], strict=True):
            expected[mask] = crop_of(bank, item)[0, 0, :3]
        np.testing.assert_array_equal(done.image, expected)
        outside = ~done.masks[int(done.kept[0]) :].any(0)
        if done.kept[0]:
            np.testing.assert_array_equal(done.masks[0], old[0] & outside)
        else:
            assert not (old[0] & outside).any()
        seen += len(done.items) < 14
    assert seen  # some were wholly hidden by later ones


def test_soft_edges_and_another_size_by_hand(tmp_path, rng):
    """Half the size: four pixels become one, and their colours count by their opacity."""
    crop = rng.integers(0, 256, (24, 32, 4), dtype=np.uint8)
    crop[..., 3] = rng.integers(180, 256, (24, 32))
    crop[..., 3][:, :8] = 0
    crop[..., :3][crop[..., 3] == 0] = 255  # what lies around the instance must not leak in
    bank = make_bank(tmp_path, [crop])
    image = rng.uniform(0, 255, (80, 120, 3)).astype(np.float32)
    rules = Rules(**{**PLAIN, 'scale': (0.5, 0.5), 'feather': 1.0, 'count': (1, 1)})
    done = paste.paste_some(image, NO_MASKS, NO_BOXES, bank, rules, rng)
    assert done.image.dtype == np.float32
    opacity = crop[..., 3].astype(float) / 255
    weighted = (crop[..., :3] * opacity[..., None]).reshape(12, 2, 16, 2, 3).mean((1, 3))
    small = opacity.reshape(12, 2, 16, 2).mean((1, 3))
    blurred = gaussian_filter(np.pad(small, 9), 1.0, truncate=8)[9:-9, 9:-9]
    share = np.minimum(small, np.clip(2 * blurred - 1, 0, 1))
    ys, xs = np.nonzero((done.image != image).any(2))
    ys0, xs0 = np.nonzero(share > 1e-3)
    y, x = ys.min() - ys0.min(), xs.min() - xs0.min()
    colours = weighted / np.maximum(small, 1e-6)[..., None]
    there = image[y : y + 12, x : x + 16]
    np.testing.assert_allclose(
        done.image[y : y + 12, x : x + 16], there * (1 - share[..., None]) + colours * share[..., None], atol=3
    )
    clear = np.abs(share - 0.5) > 0.02
    np.testing.assert_array_equal(done.masks[0][y : y + 12, x : x + 16][clear], (share > 0.5)[clear])


def test_a_crop_that_reaches_over_the_border_is_cut(tmp_path, rng, image):
    bank = make_bank(tmp_path, [np.full((30, 40, 4), 255, np.uint8)])
    rules = Rules(**PLAIN, count=(1, 1), position='anywhere')
    areas = set()
    for _ in range(50):
        done = paste.paste_some(image * 0, NO_MASKS, NO_BOXES, bank, rules, rng)
        np.testing.assert_array_equal((done.image == 255).all(2), done.masks[0])
        areas.add(int(done.masks[0].sum()))
    assert min(areas) >= 30 * 40 / 4 and max(areas) == 1200 and len(areas) > 10


def test_what_would_hide_too_much_goes_elsewhere_or_is_left_out(tmp_path, rng, image):
    bank = make_bank(tmp_path, [np.full((30, 40, 4), 255, np.uint8)])
    old = np.zeros((2, 80, 120), bool)
    old[0, :, :60] = True
    old[1, 70:72, 100:102] = True
    boxes = np.array([[0, 0, 60, 80], [100, 70, 102, 72]])
    for hide, most in ((0.0, 0), (0.1, 0.1), (1.0, 1)):
        done = [paste.paste_some(image, old, boxes, bank, Rules(**PLAIN, hide=hide), rng) for _ in range(30)]
        hidden = [1 - (one.masks[0].sum() / 4800) for one in done]
        assert max(hidden) <= most and any(one.items for one in done)
        assert (max(hidden) > 0.1) == (hide == 1)
    full = np.ones((1, 80, 120), bool)
    none = paste.paste_some(image, full, np.array([[0, 0, 120, 80]]), bank, Rules(**PLAIN, hide=0), rng)
    assert none.items == [] and not none.changed.any() and none.kept.all()
    np.testing.assert_array_equal(none.image, image)
