"""Foreground by clustering: k-means over colour and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solo_bg.sources.base import InputImage
from solo_bg.sources.classic import Classic, enlarge, off_border, shrink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.sources.classic import Labels, Mask, Pixels


class KMeans(Classic):
    """The clusters that touch the border least.

    Options:
        k: number of clusters.
        position: weight of a pixel's position against its colour: the image's longer side counts as this many units of
            Lab, in which black and white are 100 apart.
        touch: clusters that touch the border less than this are foreground (see `off_border`).
        side: the longer side of the copy that is clustered, in pixels.
        seed: of the first centres.
    """

    option_defaults = {'k': 5, 'position': 50.0, 'touch': 0.5, 'side': 320, 'seed': 0}  # noqa: RUF012
    least = {'k': 2, 'position': 0, 'touch': 0, 'side': 8}  # noqa: RUF012

    def segment(self, image: InputImage) -> Mask:
        small = shrink(image.pixels, self.options['side'])
        points = features(small, self.options['position'])
        clusters = cluster(points, self.options['k'], self.options['seed']).reshape(small.shape[:2])
        return enlarge(off_border(clusters, self.options['touch']), image.pixels.shape)


def cluster(points: NDArray[np.float32], k: int, seed: int) -> Labels:
    """The cluster of each point, (N,), of `points`, (N, D), by OpenCV's k-means++: the better of two attempts."""
    import cv2
    import numpy as np

    if len(points) == 1:  # OpenCV would read its features as points
        return np.zeros(1, np.int32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    cv2.setRNGSeed(seed)
    labels = np.zeros((len(points), 1), np.int32)
    cv2.kmeans(points, min(k, len(points)), labels, stop, 2, cv2.KMEANS_PP_CENTERS)
    return np.asarray(labels).ravel()


def features(pixels: Pixels, position: float) -> NDArray[np.float32]:
    """Each pixel as (L, a, b, x, y), float32 (H * W, 5): CIE Lab, and its position in the same units."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    y, x = np.mgrid[:height, :width].astype(np.float32) * (position / max(height, width))
    return np.dstack([lab, x, y]).reshape(-1, 5)
