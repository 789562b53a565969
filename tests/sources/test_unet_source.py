"""The U-Net as a mask source, through the contract and the command."""

import cv2
import numpy as np
import pytest
from test_sources import SourceContract
from tiny_unet import save_weights, tiny_config

from solo_bg import Segmenter
from solo_bg.cli import main as cli
from solo_bg.scenes import draw_scene
from solo_bg.sources.detector import Detector


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('unet')
    config = tiny_config()
    save_weights(config, folder / 'weights.pth', draw_scene(0, 60, 90)[0])
    config.dump(folder / 'unet.py')
    return folder


class TestForegroundUNet(SourceContract):
    @pytest.fixture
    def source(self, files):
        return Detector(Segmenter(files / 'unet.py', files / 'weights.pth', 'cpu'))

    def test_it_finds_one_person(self, source, pictures):
        found = source(pictures)
        assert any(0 < instances.union.float().mean() < 1 for instances in found)
        for instances in found:
            assert len(instances) <= 1 and set(instances.names) <= {'person'}


def test_through_the_command(files, tmp_path):
    images = [draw_scene(seed, 60, 90)[0] for seed in range(2)]
    images.append(np.full((1, 1, 3), 200, np.uint8))
    (tmp_path / 'in').mkdir()
    for index, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f'in/{index}.png'), image)
    segmenter = Segmenter(files / 'unet.py', files / 'weights.pth', 'cpu', {'model.test_cfg.parts': True})
    parts = segmenter(images)
    assert len(parts[0]) > 1 and (parts[0].scores.diff() <= 0).all() and parts[2].size == (1, 1)
    argv = [files / 'unet.py', files / 'weights.pth', tmp_path / 'in', '-o', tmp_path / 'out', '--on-empty', 'black']
    options = ['--device', 'cpu', '--quiet', '--score-thr', '0', '--cfg-options', 'model.test_cfg.parts=True']
    assert cli.main([*map(str, argv), *options]) == 0
    for index, (image, instances) in enumerate(zip(images, parts, strict=True)):
        picture = cv2.imread(str(tmp_path / f'out/eliminated/{index}.png'))
        np.testing.assert_array_equal(picture, image * instances.union.numpy()[..., None])
