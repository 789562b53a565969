"""Style `crops`: each instance in a square window of its own, black around it, as DeepMask's examples show objects."""

from __future__ import annotations

from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.windows import cut_window, square_around
from solo_bg.draw.compose import check_image
from solo_bg.draw.instance_crops import describe
from solo_bg.draw.styles import Part

SIDE = 224  # of the pictures, in pixels
CONTEXT = 224 / 128  # a window's side, divided by the longer side of the instance's box


def square_crops(image: Tensor, instances: Instances) -> list[Part]:
    """Cut a square window around each instance that has pixels, and resize it; every pixel outside its mask is 0.

    The instance is in the middle, and its longer side has 128 of the 224 pixels. `CutTriplet` cuts the same windows
    for training, moved and scaled at random, and without the black.

    Args:
        image: uint8 (H, W, 3), BGR, on the instances' device.

    Returns:
        one part for each instance, numbered by its position; the picture is uint8 (224, 224, 3), BGR. The facts are
        those of the style `instances`, where `width` and `height` are the picture's, and `window` ([x0, y0, x1, y1] in
        the image, with fractions), which may reach beyond the image.
    """
    check_image(image, instances.size)
    parts = []
    for number, facts in describe(instances, instances.host_boxes):
        x0, y0, *_ = facts['box']
        window = square_around(facts['box'], CONTEXT)
        picture, _ = cut_window(image, window, SIDE, instances.crops[number], (x0, y0), highlight=True)
        own = {'width': SIDE, 'height': SIDE, 'window': [round(edge, 2) for edge in window]}
        parts.append(Part(number, picture, {**facts, **own}))
    return parts
