import numpy as np
import pytest
import torch
import torch.nn.functional as F

from solo_bg.core.windows import cut_window, resample, square_around


@pytest.mark.parametrize(('size', 'side'), [((12, 12), 48), ((40, 30), 7), ((33, 47), 20)])
def test_the_whole_image_is_resized_as_torch_resizes_it(size, side, rng):
    """Away from the edges, where torch leaves out what lies beyond, and here it counts."""
    values = torch.from_numpy(rng.random((2, *size), np.float32))
    found = resample(values, (0, 0, size[1], size[0]), (side, side))
    expected = F.interpolate(values[None], (side, side), mode='bilinear', antialias=True)[0]
    edge = max(1, round(side / min(size)))
    inner = slice(edge, side - edge)
    torch.testing.assert_close(found[:, inner, inner], expected[:, inner, inner], rtol=0, atol=1e-5)


def test_a_window_of_whole_pixels_is_copied(rng):
    image = torch.from_numpy(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    picture, _ = cut_window(image, (5, 7, 21, 23), 16)
    assert torch.equal(picture, image[7:23, 5:21])


@pytest.mark.parametrize('window', [(-6, -4, 10, 12), (30, 20, 46, 36), (100, 100, 116, 116), (-50, -50, -34, -34)])
def test_beyond_the_image_is_the_fill(window, rng):
    image = torch.from_numpy(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    picture, mask = cut_window(image, window, 16, fill=(1, 2, 3))
    for y, x in np.ndindex(16, 16):
        row, column = window[1] + y, window[0] + x
        inside = 0 <= row < 30 and 0 <= column < 40
        assert picture[y, x].tolist() == (image[row, column].tolist() if inside else [1, 2, 3])
    assert not mask.any()


def test_the_mask_may_be_a_crop_and_is_highlighted(rng):
    image = torch.from_numpy(rng.integers(1, 256, (30, 40, 3), dtype=np.uint8))
    mask = torch.zeros(30, 40, dtype=torch.bool)
    mask[8:14, 9:25] = True
    window = square_around((9, 8, 25, 14), 1.75)
    plain, whole = cut_window(image, window, 56, mask)
    picture, crop = cut_window(image, window, 56, mask[8:14, 9:25], (9, 8), highlight=True)
    assert torch.equal(whole, crop) and not picture[~crop].any()
    assert torch.equal(picture[crop], plain[crop]) and plain[~crop].any()
    rows, columns = crop.nonzero().T
    assert (int(columns.min()), int(columns.max()) + 1) == (12, 44)  # 16 of 28 pixels are 32 of 56
    assert (int(rows.min()), int(rows.max()) + 1) == (22, 34)


def test_a_window_around_a_point_is_not_empty():
    assert square_around((5, 5, 5, 5), 2) == (4, 4, 6, 6)
