import os
from pathlib import Path

if 'PYTEST_XDIST_WORKER' in os.environ:  # one process a core: their threads must not wait for each other, spinning
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import numpy as np
import pytest
import torch

from solo_bg.core.instances import Instances

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / 'configs/solo_bg_tiny.py'
CHECKPOINT = ROOT / 'checkpoints/solo_bg_tiny.pth'
CLASSES = ('person', 'cat', 'dog')
BUNDLED_CLASSES = (
    'person', 'vehicle', 'outdoor', 'animal', 'accessory', 'sports', 'kitchen', 'food', 'furniture', 'electronic',
    'appliance', 'indoor', 'object',
)  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def golden():
    """An 8x8 image whose values count up, and two overlapping squares; the first one lies on top."""
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, 1:4, 1:4] = True
    masks[1, 2:7, 3:6] = True
    return image, Instances(masks, torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), ('', ''))


@pytest.fixture(scope='session')
def segmenter():
    """The bundled model on the CPU."""
    from solo_bg import Segmenter

    return Segmenter(CONFIG, CHECKPOINT, device='cpu')
