"""Images of 100 megapixels: the size at which the command stops by default is not too much for any source."""

from pathlib import Path

import numpy as np
import pytest
import tiny_onnx
import torch

from solo_bg import InputImage, Instances
from solo_bg.draw.refine import REFINERS, load_refiner
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


def resident(field):
    """`VmRSS` or `VmHWM`, the most since the peak was reset, in megabytes."""
    return int(Path('/proc/self/status').read_text().partition(f'{field}:')[2].split()[0]) / 1e3


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='memory is measured on Linux only')
@pytest.mark.parametrize('name', REFINERS)
def test_a_refiner(name):
    """Of an image with one small object, only the surroundings of the object are computed."""
    if name == 'matting':
        pytest.importorskip('pymatting')
    image, inside = draw_disc(400)
    image, masks = torch.from_numpy(image), torch.from_numpy(inside)[None]
    refiner = load_refiner(name, {})
    refiner(image[:200, :200], Instances(masks[:, :200, :200], torch.zeros(1).long(), torch.ones(1), ('disc',)))
    instances = Instances(masks, torch.zeros(1).long(), torch.ones(1), ('disc',))
    Path('/proc/self/clear_refs').write_text('5')
    before = resident('VmRSS')
    refined, colours = refiner(image, instances)
    assert resident('VmHWM') - before < 1500  # one copy of the image has 300
    assert ((refined.alpha > 127) != masks[0]).sum() < 0.001 * inside.sum()
    assert torch.equal(colours[:4000], image[:4000]) and not refined.alpha[:4000].any()
