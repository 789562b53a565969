"""MNC and the pixel embeddings, small and with random weights, as a mask source and through the command."""

import json

import cv2
import numpy as np
import pytest
from small_cascades import CLASSES, SMALL, save_small
from test_sources import SourceContract

from solo_bg import Segmenter
from solo_bg.cli import main as cli
from solo_bg.models.class_names import count_classes
from solo_bg.scenes import draw_scene
from solo_bg.sources.detector import Detector


@pytest.fixture(scope='module', params=list(SMALL))
def saved(request, tmp_path_factory):
    return save_small(request.param, tmp_path_factory.mktemp(request.param))


class TestCascades(SourceContract):
    @pytest.fixture(scope='module')
    def source(self, saved):
        return Detector(Segmenter(*saved, 'cpu'))


def test_through_the_command(saved, tmp_path):
    image = draw_scene(7, 40, 60)[0]
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in/scene.png'), image)
    argv = [*saved, tmp_path / 'in', '-o', tmp_path / 'out', '--score-thr', '0', '--device', 'cpu', '--quiet']
    assert cli.main([*map(str, argv)]) == 0
    (record,) = map(json.loads, (tmp_path / 'out/manifest.jsonl').read_text().splitlines())
    segment = Segmenter('auto', saved[1], 'cpu')  # the config that the checkpoint carries
    (found,) = segment([image])
    assert count_classes(segment.model) == 2 and found.class_names == CLASSES
    assert sum(record['classes'].values()) == len(found) > 3 and (found.scores.diff() <= 0).all()
    picture = cv2.imread(str(tmp_path / 'out/eliminated/scene.png'))
    np.testing.assert_array_equal(picture, image * found.union.numpy()[..., None])
