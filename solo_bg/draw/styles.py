"""STYLES and PART_STYLES: the pictures that can be drawn of an image and its instances.

A style takes the image, uint8 (H, W, 3) BGR on the instances' device, and the instances; it returns a picture for the
encoder on the same device: uint8 (H, W, 3) BGR, (H, W, 4) BGRA or (H, W), or uint16 (H, W).

A style of PART_STYLES returns any number of such pictures, of any sizes, with what is known of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solo_bg.lookup import load

if TYPE_CHECKING:
    from torch import Tensor

    from solo_bg.core.instances import Instances

    Style = Callable[[Tensor, Instances], Tensor]
    PartStyle = Callable[[Tensor, Instances], Sequence['Part']]


@dataclass(frozen=True)
class Part:
    """One of the pictures that a style of PART_STYLES draws of an image.

    Attributes:
        number: position of the instance that the picture shows; the file's name ends with it. One part an instance.
        picture: as a style returns it.
        facts: what the index says about the picture, as JSON takes it.
    """

    number: int
    picture: Tensor
    facts: dict[str, Any]


# name -> 'module:function', so that the command line lists the names without importing torch
STYLES = {
    'eliminated': 'solo_bg.draw.compose:eliminated',
    'overlay': 'solo_bg.draw.names:overlay',
    'mask': 'solo_bg.draw.compose:mask',
    'labels': 'solo_bg.draw.compose:labels',
    'cutout': 'solo_bg.draw.compose:cutout',
}
PART_STYLES = {
    'instances': 'solo_bg.draw.instance_crops:instance_crops',
    'crops': 'solo_bg.draw.square_crops:square_crops',
}
STYLE_NAMES = (*STYLES, *PART_STYLES)
ALPHA_STYLES = ('cutout', 'instances')  # have an alpha: never JPEG, and with the foreground's own colours
MASK_STYLES = ('mask', 'labels')  # their pixels are numbers: always written as PNG, 0 where there is no instance


def load_style(name: str) -> Style:
    """The function behind a name of STYLES."""
    style: Style = load(STYLES[name])
    return style


def load_part_style(name: str) -> PartStyle:
    """The function behind a name of PART_STYLES."""
    style: PartStyle = load(PART_STYLES[name])
    return style
