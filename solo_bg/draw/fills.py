"""FILLS: what the background can become, by name. Zero by default; a model should not learn that black is background.

A fill takes the image, uint8 (H, W, 3) BGR on any device, and the image's own random generator; it returns uint8 on the
same device, (H, W, 3) or a single colour (3,). The same image and seed give the same fill on every device.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

    Fill = Callable[[Tensor, Generator], Tensor]

# name -> 'module:function', so that the command line lists the names without importing torch
FILLS = {
    'zero': 'solo_bg.draw.backgrounds:zero',
    'mean': 'solo_bg.draw.backgrounds:mean',
    'noise': 'solo_bg.draw.backgrounds:noise',
    'blur': 'solo_bg.draw.backgrounds:blur',
}
BYTE = r'(25[0-5]|2[0-4]\d|1?\d?\d)'
COLOUR = re.compile(f'{BYTE},{BYTE},{BYTE}')
GIVEN = ('dataset-mean', 'R,G,B', 'dir:PATH')  # what needs more than the image: a colour, or pictures


def load_fill(name: str) -> Fill:
    """The function behind a name of FILLS."""
    module, function = FILLS[name].split(':')
    fill: Fill = getattr(import_module(module), function)
    return fill
