"""Images of 100 megapixels: the size at which the command stops by default is not too much for any source."""

import numpy as np
import pytest
import tiny_onnx
import torch

from solo_bg import InputImage
from solo_bg.core.instances import Instances
from solo_bg.draw.refine import REFINERS, load_refiner
from solo_bg.sources import load_source
from solo_bg.sources.base import SourceSettings

pytestmark = pytest.mark.slow
SIDE, RADIUS = 10_000, 3_000


@pytest.fixture(scope='module')
def disc():
    """A red disc on blue."""
    y, x = np.ogrid[:SIDE, :SIDE]
    inside = (y - SIDE // 2) ** 2 + (x - SIDE // 2) ** 2 < RADIUS**2
    return np.where(inside[..., None], np.array([20, 30, 220], np.uint8), np.array([200, 60, 10], np.uint8)), inside


@pytest.mark.parametrize('name', ['kmeans', 'otsu', 'region-growing', 'grabcut', 'ncut', 'foreground'])
def test_a_source(name, disc, tmp_path):
    image, inside = disc
    config = str(tiny_onnx.save_plain(tmp_path / 'plain.onnx')) if name == 'foreground' else ''
    source = load_source(name).build(SourceSettings(config=config, checkpoint='auto', device='cpu'))
    (found,) = source([source.prepare(InputImage('', '', image))])
    mask = found.union.numpy()
    assert (mask & inside).sum() / (mask | inside).sum() > 0.9


@pytest.mark.parametrize('name', REFINERS)
def test_a_refiner(name, disc):
    image, inside = disc
    instances = Instances(torch.from_numpy(inside)[None], torch.zeros(1, dtype=torch.int64), torch.ones(1))
    found, _ = load_refiner(name, {})(torch.from_numpy(image), instances)
    assert (found.union.numpy() != inside).mean() < 0.001
