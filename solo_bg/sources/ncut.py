"""Foreground by normalised cut over superpixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solo_bg.errors import SetupError
from solo_bg.sources.base import InputImage
from solo_bg.sources.classic import Classic, enlarge, off_border, shrink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.sources.classic import Labels, Mask, Pixels

    Similar = NDArray[np.float64]

CUTS = 10  # at evenly spaced values of the eigenvector, as scikit-image's normalised cut does it


class NormalisedCut(Classic):
    """The regions of a normalised cut that touch the border least.

    Options:
        superpixels: approximate number of superpixels.
        compactness: of the superpixels; with a larger value they are more alike in shape.
        threshold: regions are divided further while the cost of the cut is below it, 0 to 1.
        touch: regions that touch the border less than this are foreground (see `off_border`).
        side: the longer side of the copy that is cut, in pixels.
    """

    option_defaults = {  # noqa: RUF012
        'superpixels': 300, 'compactness': 20.0, 'threshold': 0.01, 'touch': 0.5, 'side': 320,
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
        found = cut(small, *shape, self.options['threshold'])
        return enlarge(off_border(found, self.options['touch']), image.pixels.shape)


def cut(pixels: Pixels, superpixels: int, compactness: float, threshold: float) -> Labels:
    """The regions of an image, uint8 (H, W, 3) BGR, made of scikit-image's superpixels: int (H, W), from 0."""
    import numpy as np
    from skimage import graph, segmentation

    if min(pixels.shape[:2]) < 2:  # too narrow for superpixels
        return np.zeros(pixels.shape[:2], np.int64)
    rgb = np.ascontiguousarray(pixels[..., ::-1])
    labels = segmentation.slic(rgb, n_segments=superpixels, compactness=compactness, start_label=0)
    similar = np.eye(labels.max() + 1)  # each superpixel is as similar to itself as can be
    for one, other, weight in graph.rag_mean_color(rgb, labels, mode='similarity').edges(data='weight'):
        similar[one, other] = similar[other, one] = weight
    return regions(similar, threshold)[labels]


def regions(similar: Similar, threshold: float) -> Labels:
    """Which region each node of a graph belongs to, int (N,), from 0. Regions are divided while the cut is cheap.

    Args:
        similar: the weights of the edges, float64 (N, N), symmetric, positive on the diagonal.
        threshold: of a cut's cost, at least 0.
    """
    import numpy as np

    found = np.zeros(len(similar), np.int64)
    parts: list[Labels] = [np.arange(len(similar))]
    count = 0
    while parts:
        nodes = parts.pop()
        side, cost = best_cut(similar[np.ix_(nodes, nodes)])
        if cost < threshold:
            parts += [nodes[~side], nodes[side]]
        else:
            found[nodes] = count
            count += 1
    return found


def best_cut(similar: Similar) -> tuple[Mask, float]:
    """The cheapest of CUTS ways to divide the nodes by the value of the second eigenvector (Shi and Malik, 2000).

    All eigenvectors come from one matrix in memory. Solvers for sparse matrices would be quicker for thousands of
    nodes, but the eigenvalues of an image lie so close together that they do not always find them.

    Returns:
        which nodes are on one side, bool (N,), and the cost, from 0 to 2; infinity where nothing can be cut.
    """
    import numpy as np
    from scipy.linalg import eigh

    if len(similar) < 3:
        return np.zeros(len(similar), bool), np.inf
    degree = similar.sum(0)
    root = np.sqrt(degree)
    laplacian = (np.diag(degree) - similar) / root / root[:, None]
    vector = eigh(laplacian, subset_by_index=(1, 1))[1][:, 0] / root
    if np.allclose(vector, vector[0], atol=1e-12):
        return np.zeros(len(similar), bool), np.inf
    sides = vector > np.linspace(vector.min(), vector.max(), CUTS, endpoint=False)[:, None]  # (CUTS, N)
    between = ((sides @ similar) * ~sides).sum(1)
    costs = between / (sides @ degree) + between / (~sides @ degree)
    return sides[costs.argmin()], float(costs.min())
