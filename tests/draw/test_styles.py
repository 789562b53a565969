"""Every style on an 8x8 picture that fits into the reader's head: instance 0 in rows and columns 1-3, on top of
instance 1 in rows 2-6 and columns 3-5."""

import numpy as np
import pytest
import torch

from solo_bg import Instances, eliminate_background
from solo_bg.draw.styles import MASK_STYLES, STYLES, load_style

OWNER_PLUS_ONE = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 2, 2, 0, 0],
        [0, 1, 1, 1, 2, 2, 0, 0],
        [0, 0, 0, 2, 2, 2, 0, 0],
        [0, 0, 0, 2, 2, 2, 0, 0],
        [0, 0, 0, 2, 2, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
COLOURS = np.array([[0, 0, 0], [102, 220, 225], [179, 61, 234]])  # as RandomState(42) draws them, (1, 3) at a time


def expected(style, image):
    inside = (OWNER_PLUS_ONE > 0)[..., None]
    return {
        'eliminated': lambda: image * inside,
        'overlay': lambda: (image.astype(int) + COLOURS[OWNER_PLUS_ONE]) // 2 * inside,
        'mask': lambda: 255 * inside[..., 0],
        'labels': lambda: OWNER_PLUS_ONE,
        'cutout': lambda: np.concatenate([image, 255 * inside], 2),
    }[style]()


@pytest.mark.parametrize('style', STYLES)
def test_golden(style, golden):
    image, instances = golden
    before = image.copy()
    picture = load_style(style)(torch.from_numpy(image), instances).numpy()
    assert picture.dtype == (np.uint16 if style == 'labels' else np.uint8)
    np.testing.assert_array_equal(picture, expected(style, image))
    np.testing.assert_array_equal(image, before)


def test_the_overlay_is_the_same_in_bands_of_any_height(golden, monkeypatch):
    image, instances = golden
    for band in (1, 3, 8):
        monkeypatch.setattr('solo_bg.draw.compose.BAND', band)
        picture = load_style('overlay')(torch.from_numpy(image), instances).numpy()
        np.testing.assert_array_equal(picture, expected('overlay', image))


@pytest.mark.parametrize('style', STYLES)
def test_without_instances(style, golden):
    image, _ = golden
    picture = load_style(style)(torch.from_numpy(image), Instances.empty((8, 8))).numpy()
    assert not picture[..., 3:].any() if style == 'cutout' else not picture.any()


def test_names_are_listed_without_torch():
    assert set(MASK_STYLES) < set(STYLES)


def test_labels_hold_more_than_255_instances():
    masks = torch.eye(300, dtype=torch.bool).reshape(300, 1, 300)
    instances = Instances(masks, torch.zeros(300, dtype=torch.int64), torch.ones(300))
    picture = load_style('labels')(torch.zeros(1, 300, 3, dtype=torch.uint8), instances).numpy()
    np.testing.assert_array_equal(picture[0], np.arange(1, 301))


def test_eliminate_background_keeps_its_kind(golden):
    image, instances = golden
    for_array = eliminate_background(image, instances)
    for_tensor = eliminate_background(torch.from_numpy(image), instances)
    assert isinstance(for_array, np.ndarray) and isinstance(for_tensor, torch.Tensor)
    np.testing.assert_array_equal(for_array, expected('eliminated', image))
    np.testing.assert_array_equal(for_tensor, for_array)


def test_eliminate_background_takes_a_flipped_view(golden):
    image, instances = golden
    np.testing.assert_array_equal(
        eliminate_background(image[..., ::-1], instances), expected('eliminated', image)[..., ::-1]
    )


@pytest.mark.gpu
@pytest.mark.parametrize('style', STYLES)
def test_cuda_draws_the_same(style, golden):
    image, instances = golden
    picture = load_style(style)(torch.from_numpy(image).cuda(), instances.to('cuda'))
    assert picture.device.type == 'cuda'
    np.testing.assert_array_equal(picture.cpu().numpy(), expected(style, image))


@pytest.mark.gpu
def test_eliminate_background_stays_on_its_device(golden):
    image, instances = golden
    result = eliminate_background(torch.from_numpy(image).cuda(), instances.to('cuda'))
    assert result.device.type == 'cuda'


@pytest.mark.parametrize('image', [np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3))])
def test_an_image_that_does_not_fit_is_refused(image, golden):
    with pytest.raises(ValueError, match=r'the image has height|must be uint8'):
        eliminate_background(image, golden[1])


def test_what_cv2_gives_for_a_file_that_it_cannot_read_is_refused(golden):
    with pytest.raises(ValueError, match=r'got NoneType\. cv2\.imread gives None for'):
        eliminate_background(None, golden[1])
