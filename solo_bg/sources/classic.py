"""What the sources without weights share: options, the size they compute at, and which regions are background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from solo_bg.errors import SetupError
from solo_bg.option_values import read_options
from solo_bg.sources.base import InputImage, Source, SourceSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.core.instances import Instances

    Pixels = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer]


class Classic(Source):
    """One instance an image, called foreground, found on the CPU. A subclass defines `option_defaults` and `segment`.

    Attributes:
        least: option -> its smallest allowed value.
        choices: option -> the texts it can be.
    """

    has_scores = False
    class_names = ('foreground',)
    least: Mapping[str, float] = {}
    choices: Mapping[str, Sequence[str]] = {}

    def __init__(self, **options: Any) -> None:
        self.options = {**self.option_defaults, **options}
        for name, least in self.least.items():
            if self.options[name] < least:
                raise SetupError(f'--source-options: {name} expected at least {least}, got {self.options[name]}')
        for name, allowed in self.choices.items():
            if self.options[name] not in allowed:
                known = ', '.join(allowed)
                raise SetupError(f'--source-options: {name} expected one of {known}, got {self.options[name]!r}')

    @classmethod
    def build(cls, settings: SourceSettings) -> Classic:
        return cls(**read_options(cls.option_defaults, settings.options))

    def describe(self) -> dict[str, Any]:
        return dict(self.options)

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        import torch

        from solo_bg.sources.masks import instances_of

        return [instances_of(torch.from_numpy(self.segment(image))[None], self.class_names) for image in images]

    def segment(self, image: InputImage) -> Mask:
        """The foreground, bool (H, W)."""
        raise NotImplementedError


def shrink(pixels: Pixels, side: int) -> Pixels:
    """The image, uint8 (H, W, ...), with a longer side of at most `side`."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def enlarge(mask: Mask, size: tuple[int, ...]) -> Mask:
    """A mask at another size: bilinear, then at least half."""
    import cv2
    import numpy as np

    if mask.shape == tuple(size[:2]):
        return mask
    smooth = cv2.resize(mask.astype(np.uint8) * 255, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth >= 128)


def off_border(labels: Labels, touch: float) -> Mask:
    """The regions that touch the image's border least, bool (H, W).

    A region's touch is its share of the border's pixels over its share of all pixels: 0 for a region that does not
    reach the border, 1 for one that is spread evenly, more for one that lies along the border.

    Args:
        labels: the region of each pixel, not negative, (H, W).
        touch: regions with less are foreground.
    """
    import numpy as np

    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    areas = np.bincount(labels.ravel())
    on_border = np.bincount(border, minlength=len(areas))
    touches = (on_border / len(border)) / (np.maximum(areas, 1) / labels.size)
    return np.asarray((touches < touch)[labels])
