"""Random masks of all difficult kinds."""

import numpy as np


def random_masks(rng, count, height, width):
    """Return bool (count, height, width): boxes, ellipses, noise, single pixels, borders, full and empty masks."""
    y, x = np.mgrid[:height, :width]
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        kind = rng.integers(8)
        y0, x0 = rng.integers(height), rng.integers(width)
        y1, x1 = rng.integers(y0, height) + 1, rng.integers(x0, width) + 1
        if kind <= 1:
            mask[y0:y1, x0:x1] = True
        elif kind == 2:
            mask[:] = ((y - y0) / (1 + height / 4)) ** 2 + ((x - x0) / (1 + width / 3)) ** 2 < 1
        elif kind == 3:
            mask[y0:y1, x0:x1] = rng.random((y1 - y0, x1 - x0)) < 0.4
        elif kind == 4:
            mask[y0, x0] = True
        elif kind == 5:
            mask[[0, -1], :] = True
            mask[:, [0, -1]] = True
        elif kind == 6:
            mask[:] = True
    return masks  # kind 7 stays empty
