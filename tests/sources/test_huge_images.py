"""Images of 100 megapixels: the size at which the command stops by default is not too much for any source."""

import numpy as np
import pytest
import tiny_onnx

from solo_bg import InputImage
from solo_bg.sources import load_source
from solo_bg.sources.base import SourceSettings

pytestmark = pytest.mark.slow
SIDE = 10_000


def draw_disc(radius):
    """A red disc on blue, uint8 (H, W, 3), and its mask."""
    y, x = np.ogrid[:SIDE, :SIDE]
    inside = (y - SIDE // 2) ** 2 + (x - SIDE // 2) ** 2 < radius**2
    return np.where(inside[..., None], np.array([20, 30, 220], np.uint8), np.array([200, 60, 10], np.uint8)), inside


@pytest.mark.parametrize('name', ['kmeans', 'otsu', 'region-growing', 'grabcut', 'ncut', 'foreground'])
def test_a_source(name, tmp_path):
    image, inside = draw_disc(3000)
    config = str(tiny_onnx.save_plain(tmp_path / 'plain.onnx')) if name == 'foreground' else ''
    source = load_source(name).build(SourceSettings(config=config, checkpoint='auto', device='cpu'))
    (found,) = source([source.prepare(InputImage('', '', image))])
    mask = found.union.numpy()
    assert (mask & inside).sum() / (mask | inside).sum() > 0.9
