"""Thumbnails against means that NumPy takes of blocks of pixels."""

import cv2
import numpy as np
import pytest
import torch

from solo_bg.core.instances import Instances
from solo_bg.disk.output_names import thumbnail_path
from solo_bg.draw import compose
from solo_bg.draw.thumbnails import SIDE, thumbnail, thumbnail_of_files, tile
from solo_bg.errors import ImageError


def blocks(picture, factor):
    """Means of blocks of factor x factor pixels; what does not fill a block is left out."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    cut = picture[: height * factor, : width * factor].astype(float)
    return cut.reshape(height, factor, width, factor, -1).mean((1, 3))


@pytest.mark.parametrize(('height', 'width', 'factor'), [(60, 80, 1), (480, 640, 4), (301, 211, 2), (400, 1900, 10)])
def test_tiles_lie_side_by_side_and_are_means(rng, height, width, factor):
    image = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (width, height))
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 :, width // 2 :] = 255
    shown = cv2.imdecode(np.frombuffer(thumbnail(image, [image // 2, mask]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (height // factor, 3 * (width // factor), 3) and max(width, height) // factor <= SIDE
    wanted = [blocks(image, factor), blocks(image // 2, factor), np.repeat(blocks(mask, factor), 3, 2)]
    assert np.abs(tile(image, factor) - wanted[0]).max() <= 1  # before JPEG
    for got, mean in zip(np.split(shown, 3, 1), wanted, strict=True):
        assert np.abs(got - mean).mean() < 6


def test_labels_have_the_colours_of_the_overlay(golden):
    image, instances = golden
    labels = compose.labels(torch.from_numpy(image), instances).numpy()
    overlay = compose.colourise(torch.zeros(8, 8, 3, dtype=torch.uint8), instances).numpy()
    assert (tile(labels, 1) // 2 == overlay).all() and overlay.any()


def test_a_cut_out_lies_on_a_checker():
    picture = np.full((16, 16, 4), 100, np.uint8)
    picture[..., 3] = 0
    picture[4, 4, 3], picture[4, 5, 3] = 255, 51
    shown = tile(picture, 1)
    assert (shown[4, 4] == 100).all()
    assert set(np.unique(shown)) >= {100, 204, 255} and (shown[0, 0] != shown[0, 8]).all()
    assert abs(int(shown[4, 5, 0]) - (0.2 * 100 + 0.8 * int(shown[0, 0, 0]))) <= 1


@pytest.mark.parametrize('size', [(1, 1), (1, 5000), (5000, 1), (2, 161)])
def test_any_size_has_a_thumbnail(size):
    image = np.full((*size, 3), 200, np.uint8)
    shown = cv2.imdecode(np.frombuffer(thumbnail(image, [image]), np.uint8), cv2.IMREAD_COLOR)
    assert min(shown.shape[:2]) >= 1 and max(shown.shape[0], shown.shape[1] // 2) <= SIDE
    assert (abs(shown.astype(int) - 200) < 3).all()


def test_written_pictures_give_the_same_thumbnail(tmp_path, golden):
    image, instances = golden
    styles = {
        'eliminated': compose.eliminated,
        'mask': compose.mask,
        'labels': compose.labels,
        'cutout': compose.cutout,
    }
    pictures = {name: style(torch.from_numpy(image), instances).numpy() for name, style in styles.items()}
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture)
    outputs = {name: f'{name}.png' for name in pictures}
    assert thumbnail_of_files(image, tmp_path, outputs) == thumbnail(image, pictures.values())
    (tmp_path / 'mask.png').write_bytes(b'no picture')
    with pytest.raises(ImageError, match=r'mask\.png is not the picture'):
        thumbnail_of_files(image, tmp_path, outputs)


def test_paths_differ_and_hold_no_character_of_the_name():
    names = ['a.png', 'a.PNG', '../../etc/passwd', '<b>', 'a\nb', '\udcff', 'x' * 5000, '']
    paths = {thumbnail_path(name) for name in names}
    assert len(paths) == len(names) and all(len(path) == 37 and path.isascii() for path in paths)


def test_no_instances(golden):
    image, _ = golden
    none = Instances(torch.zeros(0, 8, 8, dtype=torch.bool), torch.zeros(0).long(), torch.zeros(0), ('',))
    labels = compose.labels(torch.from_numpy(image), none).numpy()
    assert not tile(labels, 1).any()
