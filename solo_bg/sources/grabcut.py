"""Foreground by GrabCut, started from a box, from annotations or from a model's masks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from solo_bg.errors import SetupError
from solo_bg.option_values import read_options
from solo_bg.sources.base import InputImage, SourceSettings
from solo_bg.sources.classic import Classic, enlarge, shrink
from solo_bg.sources.detector import Detector

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances
    from solo_bg.sources.classic import Mask, Pixels


class GrabCut(Classic):
    """The foreground that GrabCut finds from a start: the annotated objects with `--ann`, otherwise a box.

    Options:
        box: `X0,Y0,X1,Y1` as shares of the width and height; outside of it everything is background.
        margin: around the start's masks, as a share of the longer side; outside of it everything is background.
        iterations: of GrabCut.
        side: the longer side of the copy that is cut, in pixels.
        seed: of its colour models.
    """

    option_defaults = {  # noqa: RUF012
        'box': (0.05, 0.05, 0.95, 0.95), 'margin': 0.03, 'iterations': 5, 'side': 640, 'seed': 0,
    }  # fmt: skip
    least = {'margin': 0, 'iterations': 1, 'side': 8}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        box = self.options['box']
        if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise SetupError(f'--source-options: box expected X0,Y0,X1,Y1 from 0 to 1, got {",".join(map(str, box))}')

    def segment(self, image: InputImage) -> Mask:
        return self.cut(image.pixels, image.annotated.instances if image.annotated else None)

    def cut(self, pixels: Pixels, start: Instances | None) -> Mask:
        """The foreground around the instances, or in the box."""
        import numpy as np

        small = shrink(pixels, self.options['side'])
        if start is None:
            likely = possible = inside(self.options['box'], small.shape)
        else:
            union = start.union.cpu().numpy()
            likely = shrink(union.astype(np.uint8) * 255, self.options['side']) >= 128
            possible = widen(likely, round(self.options['margin'] * max(likely.shape)))
        cut = grabcut(small, likely, possible, self.options['iterations'], self.options['seed'])
        return enlarge(cut, pixels.shape)


class GrabCutModel(GrabCut):
    """GrabCut started from the masks of a model: CONFIG and CHECKPOINT as for the detector.

    Options: as `GrabCut`'s, and
        score: instances with a higher score are the start.
    """

    needs_model = True
    option_defaults = {**GrabCut.option_defaults, 'score': 0.3}  # noqa: RUF012

    def __init__(self, detector: Detector, **options: Any) -> None:
        super().__init__(**options)
        self.detector = detector

    @classmethod
    def build(cls, settings: SourceSettings) -> GrabCutModel:
        return cls(Detector.build(settings), **read_options(cls.option_defaults, settings.options))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), 'model': self.detector.describe()}

    def prepare(self, image: InputImage) -> InputImage:
        return self.detector.prepare(image)

    def batch_shape(self, image: InputImage) -> Hashable:
        return self.detector.batch_shape(image)

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        import torch

        from solo_bg.sources.masks import instances_of

        found = [one.select(self.options['score']) for one in self.detector(images)]
        masks = [self.cut(image.pixels, one) for image, one in zip(images, found, strict=True)]
        return [instances_of(torch.from_numpy(mask)[None], self.class_names) for mask in masks]


def grabcut(pixels: Pixels, likely: Mask, possible: Mask, iterations: int, seed: int = 0) -> Mask:
    """OpenCV's GrabCut.

    Args:
        pixels: uint8 (H, W, 3), BGR.
        likely: bool (H, W), what is probably foreground.
        possible: bool (H, W), what is not certainly background.

    Returns:
        bool (H, W); `likely` itself where it or its complement is empty, because there is nothing to tell apart.
    """
    import cv2
    import numpy as np

    if not likely.any() or possible.all():
        return likely
    state = np.full(likely.shape, cv2.GC_BGD, np.uint8)
    state[possible] = cv2.GC_PR_BGD
    state[likely] = cv2.GC_PR_FGD
    cv2.setRNGSeed(seed)  # its colour models begin with k-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, state, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)


def inside(box: Sequence[float], shape: Sequence[int]) -> Mask:
    """A box, given as shares of width and height, as a mask, bool (H, W)."""
    import numpy as np

    mask = np.zeros(shape[:2], bool)
    x0, y0, x1, y1 = (round(share * side) for share, side in zip(box, (shape[1], shape[0]) * 2, strict=True))
    mask[y0:y1, x0:x1] = True
    return mask


def widen(mask: Mask, radius: int) -> Mask:
    """A mask and what lies within `radius` pixels of it."""
    import cv2
    import numpy as np

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0
