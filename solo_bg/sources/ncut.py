"""Foreground by normalised cut over superpixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solo_bg.errors import ImageError, SetupError
from solo_bg.sources.base import InputImage
from solo_bg.sources.classic import Classic, enlarge, off_border, shrink

if TYPE_CHECKING:
    from solo_bg.sources.classic import Labels, Mask, Pixels

STARTS = 3  # random starts of the eigenvectors' solver


class NormalisedCut(Classic):
    """The regions of a normalised cut that touch the border least.

    Options:
        superpixels: about as many as the image is divided into before.
        compactness: of the superpixels; the larger, the more alike their shapes.
        threshold: regions are cut on as long as the cut is below it, 0 to 1.
        touch: regions that touch the border less than this are foreground (see `off_border`).
        side: the longer side of the copy that is cut, in pixels.
        seed: of the eigenvectors' first guess.
    """

    option_defaults = {  # noqa: RUF012
        'superpixels': 300, 'compactness': 20.0, 'threshold': 0.01, 'touch': 0.5, 'side': 320, 'seed': 0,
    }  # fmt: skip
    least = {'superpixels': 2, 'compactness': 1e-6, 'threshold': 0, 'touch': 0, 'side': 8}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        try:
            import skimage.graph  # noqa: F401
        except ImportError as error:
            raise SetupError(f'--source ncut needs scikit-image ({error}); pip install "solo_bg[classic]"') from error

    def segment(self, image: InputImage) -> Mask:
        small = shrink(image.pixels, self.options['side'])
        shape = self.options['superpixels'], self.options['compactness']
        regions = cut(small, *shape, self.options['threshold'], self.options['seed'])
        return enlarge(off_border(regions, self.options['touch']), image.pixels.shape)


def cut(pixels: Pixels, superpixels: int, compactness: float, threshold: float, seed: int) -> Labels:
    """The regions of an image, uint8 (H, W, 3) BGR: scikit-image's SLIC and normalised cut. int (H, W), from 0.

    The solver of eigenvectors starts from a random vector, and fails from some of them: then another one is tried.

    Raises:
        ImageError: it fails from all.
    """
    import numpy as np
    from scipy.sparse.linalg import ArpackError
    from skimage import graph, segmentation

    if min(pixels.shape[:2]) < 2:  # too narrow for superpixels
        return np.zeros(pixels.shape[:2], np.int64)
    rgb = np.ascontiguousarray(pixels[..., ::-1])
    labels = segmentation.slic(rgb, n_segments=superpixels, compactness=compactness, start_label=0)
    similar = graph.rag_mean_color(rgb, labels, mode='similarity')
    for start in range(seed, seed + STARTS):
        try:
            regions = graph.cut_normalized(labels, similar, thresh=threshold, rng=start)
        except ArpackError:
            continue
        return np.unique(regions, return_inverse=True)[1].reshape(labels.shape)
    raise ImageError(
        f'the eigenvectors of the normalised cut cannot be found, from {STARTS} random starts; try other superpixels, '
        f'such as --source-options superpixels={2 * superpixels // 3}'
    )
