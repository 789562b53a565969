"""FILLS: what can replace the background, by name. The default is zero. With other fills a model that is trained on
the pictures does not learn that black means background.

A fill takes the image, uint8 (H, W, 3) BGR on any device, and a random generator of the image's own. It returns uint8
(H, W, 3) or a single colour, uint8 (3,), on the image's device. The same image and seed give the same fill on every
device.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.errors import ImageError, SetupError
from solo_bg.lookup import load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.disk.inputs import ImageFile
    from solo_bg.draw.backgrounds import Fill as Fill

# name -> 'module:function', so that the command line lists the names without importing torch
FILLS = {
    'zero': 'solo_bg.draw.backgrounds:zero',
    'mean': 'solo_bg.draw.backgrounds:mean',
    'noise': 'solo_bg.draw.backgrounds:noise',
    'blur': 'solo_bg.draw.backgrounds:blur',
}
BYTE = r'(25[0-5]|2[0-4]\d|1?\d?\d)'
COLOUR = re.compile(f'{BYTE},{BYTE},{BYTE}')
FILLS_WITH_ARGUMENTS = (
    'dataset-mean',
    'R,G,B',
    'dir:PATH',
)  # fills that need more than the image: a colour, or pictures


def load_fill(name: str) -> Fill:
    """The function behind a name of FILLS."""
    fill: Fill = load(FILLS[name])
    return fill


def one_fill(name: str, images: Sequence[ImageFile] | None = None, max_pixels: int = MAX_PIXELS) -> Fill:
    """The fill with this name: one of FILLS, `dataset-mean` (of `images`), `R,G,B` or `dir:PATH`.

    `dataset-mean` leaves out images with more than `max_pixels` pixels. `dir:PATH` raises ImageError when it draws one.
    """
    from solo_bg.disk.inputs import list_images
    from solo_bg.disk.read import mean_colour
    from solo_bg.draw import backgrounds

    if name in FILLS:
        return load_fill(name)
    if name == 'dataset-mean' and images is None:
        raise SetupError('dataset-mean is not available here, because it needs all images; give the colour as R,G,B')
    if name == 'dataset-mean':
        return backgrounds.Colour(mean_colour((image.path for image in images or ()), max_pixels))
    if COLOUR.fullmatch(name):
        red, green, blue = map(int, name.split(','))
        return backgrounds.Colour((blue, green, red))
    if not name.startswith('dir:'):
        raise SetupError(f'no fill is called {name!r}; expected one of {", ".join((*FILLS, *FILLS_WITH_ARGUMENTS))}')
    folder = name.removeprefix('dir:')
    pictures = list_images([folder]) if os.path.exists(folder) else []
    if not pictures:
        raise SetupError(f'no images in {folder} to fill the background with; expected a folder of image files')
    paths = [picture.path for picture in pictures]
    return backgrounds.Pictures(len(paths), partial(read_picture, paths, max_pixels))


def read_picture(paths: Sequence[Path], max_pixels: int, index: int) -> NDArray[np.uint8]:
    from solo_bg.disk.read import read_image

    try:
        return read_image(paths[index], max_pixels)
    except ImageError as error:
        raise ImageError(f'its fill {error}') from error
