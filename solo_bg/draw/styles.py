"""STYLES: the pictures that can be drawn of an image and its instances.

A style takes the image, uint8 (H, W, 3) BGR on the instances' device, and the instances; it returns a picture for the
encoder on the same device: uint8 (H, W, 3) BGR, (H, W, 4) BGRA or (H, W), or uint16 (H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from solo_bg.lookup import load

if TYPE_CHECKING:
    from torch import Tensor

    from solo_bg.core.instances import Instances

    Style = Callable[[Tensor, Instances], Tensor]

# name -> 'module:function', so that the command line lists the names without importing torch
STYLES = {
    'eliminated': 'solo_bg.draw.compose:eliminated',
    'overlay': 'solo_bg.draw.names:overlay',
    'mask': 'solo_bg.draw.compose:mask',
    'labels': 'solo_bg.draw.compose:labels',
    'cutout': 'solo_bg.draw.compose:cutout',
}
MASK_STYLES = ('mask', 'labels')  # their pixels are numbers: always written as PNG, 0 where there is no instance


def load_style(name: str) -> Style:
    """The function behind a name of STYLES."""
    style: Style = load(STYLES[name])
    return style
