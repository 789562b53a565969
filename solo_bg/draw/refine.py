"""REFINERS: how alpha and foreground colours are made from an image and its masks, by name.

A refiner works in a band around the masks' edge, tile by tile, so that its memory hardly grows with the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from solo_bg.errors import SetupError
from solo_bg.option_values import read_options

if TYPE_CHECKING:
    from torch import Tensor

    from solo_bg.core.instances import Instances
    from solo_bg.draw.trimap import Trimap

    # image uint8 (h, w, 3), opacity uint8 (h, w), trimap -> alpha, float (h, w), where the trimap is unknown
    Estimate = Callable[[Tensor, Tensor, Trimap], Tensor]
    Refine = Callable[[Tensor, Instances], tuple[Instances, Tensor]]


@dataclass(frozen=True)
class Refiner:
    """A row of REFINERS.

    Attributes:
        function: 'module:function'; the function takes the options but `band`, and returns an `Estimate`.
        extra: what to install for it, as pip takes it.
        defaults: its options. `band`: how far from the masks' edge alpha is estimated, in pixels; `radius`: how far
            the windows reach that an estimate is made in.
    """

    function: str
    extra: str
    defaults: Mapping[str, Any]


REFINERS = {
    'guided': Refiner('solo_bg.draw.guided:guided', 'solo_bg', {'band': 12, 'radius': 16, 'eps': 1e-4}),
    'matting': Refiner('solo_bg.draw.matting:matting', 'solo_bg[matting]', {'band': 12, 'radius': 16, 'eps': 1e-5}),
}


def read_refine_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a refiner: the given ones over the defaults.

    Raises:
        SetupError: no such refiner, no such option, or a value that is not positive.
    """
    if name not in REFINERS:
        raise SetupError(f'no refinement is called {name!r}; expected one of {", ".join(REFINERS)}')
    options = read_options(REFINERS[name].defaults, given, '--refine-options')
    if wrong := [f'{key}={value}' for key, value in options.items() if not value > 0]:
        raise SetupError(f'--refine-options: expected values above 0, got {", ".join(wrong)}')
    return options


def load_refiner(name: str, given: Mapping[str, Any]) -> Refine:
    """The refiner of this name: image and instances -> instances with alpha, and the foreground's colours.

    Raises:
        SetupError: as `read_refine_options`; or a library that the refiner needs is missing.
    """
    options = read_refine_options(name, given)
    band = options.pop('band')
    from solo_bg.draw.box_sums import reach

    module, function = REFINERS[name].function.split(':')
    try:
        estimate: Estimate = getattr(import_module(module), function)(**options)
    except ImportError as error:
        raise SetupError(f'--refine {name} lacks a library ({error}); pip install "{REFINERS[name].extra}"') from error
    margin = 2 * reach(options['radius'])
    return lambda image, instances: refine(image, instances, estimate, band, margin)


def refine(image: Tensor, instances: Instances, estimate: Estimate, band: int, margin: int) -> tuple[Instances, Tensor]:
    """Estimate alpha and the foreground's colours around the edge of the instances' union.

    Args:
        image: uint8 (H, W, 3), BGR, on the instances' device.
        band: see `make_trimap`.
        margin: the estimate at a pixel depends on pixels at most this far away.

    Returns:
        the instances with alpha, and the image, uint8 (H, W, 3), without background colour in the band.
    """
    import torch

    from solo_bg.draw.colours import REACH, foreground_colours
    from solo_bg.draw.trimap import make_trimap, surroundings, tiles

    opacity = instances.opacity()
    alpha, colours = torch.zeros_like(opacity), image.clone()
    part = surroundings(opacity, band + max(margin, REACH))  # views: what is written to them is in the whole
    image, opacity, alpha_here, colours_here = image[part], opacity[part], alpha[part], colours[part]
    trimap = make_trimap(opacity, band)
    unknown = trimap.unknown
    alpha_here.copy_(trimap.foreground * 255)
    for tile in tiles(unknown, margin):
        found = estimate(image[tile.outer], opacity[tile.outer], trimap[tile.outer])[tile.wanted].clamp(0, 1)
        tile.fill(alpha_here, (found * 255).round().to(torch.uint8))
    for tile in tiles(unknown, REACH):
        tile.fill(colours_here, foreground_colours(image[tile.outer], alpha_here[tile.outer], tile.wanted))
    return instances.with_alpha(alpha), colours
