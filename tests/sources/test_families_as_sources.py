"""The models of configs/families, small and with random weights, as a mask source and through the command."""

import json

import cv2
import numpy as np
import pytest
from small_families import SMALL, save_small_family
from test_sources import SourceContract

from solo_bg import Segmenter
from solo_bg.cli import main as cli
from solo_bg.scenes import draw_scene
from solo_bg.sources.detector import Detector


@pytest.fixture(scope='module', params=list(SMALL))
def family(request, tmp_path_factory):
    return save_small_family(request.param, tmp_path_factory.mktemp(request.param))


class TestFamilies(SourceContract):
    @pytest.fixture(scope='module')
    def source(self, family):
        return Detector(Segmenter(*family, 'cpu'))


def test_through_the_command(family, tmp_path):
    image = draw_scene(7, 40, 60)[0]
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in/scene.png'), image)
    argv = [*family, tmp_path / 'in', '-o', tmp_path / 'out', '--score-thr', '0', '--device', 'cpu', '--quiet']
    assert cli.main([*map(str, argv)]) == 0
    (record,) = map(json.loads, (tmp_path / 'out/manifest.jsonl').read_text().splitlines())
    (found,) = Segmenter(*family, 'cpu')([image])
    assert record['classes'] == {'object': len(found)} and len(found) > 3
    picture = cv2.imread(str(tmp_path / 'out/eliminated/scene.png'))
    np.testing.assert_array_equal(picture, image * found.union.numpy()[..., None])
