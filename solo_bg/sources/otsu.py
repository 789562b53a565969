"""Foreground by Otsu's threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solo_bg.sources.base import InputImage
from solo_bg.sources.classic import Classic, off_border

if TYPE_CHECKING:
    from solo_bg.sources.classic import Mask


class Otsu(Classic):
    """What is brighter, or darker, than the grey level that separates the image's histogram best.

    Options:
        foreground: `bright`, `dark`, or `auto`: the one of the two that touches the border less.
        blur: standard deviation of a Gaussian blur before, in pixels; 0: none.
    """

    option_defaults = {'foreground': 'auto', 'blur': 0.0}  # noqa: RUF012
    least = {'blur': 0}  # noqa: RUF012
    choices = {'foreground': ('auto', 'bright', 'dark')}  # noqa: RUF012

    def segment(self, image: InputImage) -> Mask:
        import cv2
        import numpy as np

        grey = cv2.cvtColor(image.pixels, cv2.COLOR_BGR2GRAY)
        if self.options['blur']:
            grey = cv2.GaussianBlur(grey, (0, 0), self.options['blur'])
        _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        if self.options['foreground'] == 'auto':
            return off_border(np.asarray(bright, np.uint8), 1.0)
        return np.asarray(bright == (self.options['foreground'] == 'bright'))
