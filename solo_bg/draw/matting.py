"""Alpha by closed-form matting (Levin, Lischinski and Weiss, 2008): pymatting's Laplacian and solver, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from pymatting.laplacian.cf_laplacian import cf_laplacian
from pymatting.preconditioner.ichol import ichol
from pymatting.solver.cg import cg
from scipy.sparse import diags
from torch import Tensor

from solo_bg.draw import guided
from solo_bg.draw.trimap import Trimap

PRIOR = 0.05  # weight of the guided filter's alpha, against about 8 on the Laplacian's diagonal
DISTRUST = 2.0  # the same where colour does not tell foreground from background
PRIOR_EPS = 1e-4  # of the guided filter


def matting(radius: int, eps: float) -> Callable[[Tensor, Tensor, Trimap], Tensor]:
    """The estimate of `--refine matting`.

    Args:
        radius: of the guided filter's windows, in pixels.
        eps: variance of colour, of 1, below which it does not count in the Laplacian.
    """
    return partial(estimate_alpha, radius=radius, eps=eps)


def estimate_alpha(image: Tensor, opacity: Tensor, trimap: Trimap, radius: int, eps: float) -> Tensor:
    """Alpha, float32 (H, W), on the image's device. Only the unknown pixels are solved for.

    The matting Laplacian alone leaves a region open that touches nothing certain, such as a gap between two hairs. So
    every unknown pixel is drawn a little towards the alpha of the guided filter, and more where colours do not tell.

    Args:
        image: uint8 (H, W, 3).
        opacity: uint8 (H, W).
    """
    prior, trust = guided.estimate_alpha(image, opacity, trimap, radius, PRIOR_EPS)
    alpha = trimap.foreground.double().cpu().numpy().ravel()
    unknown = trimap.unknown.cpu().numpy()
    (free,) = unknown.ravel().nonzero()
    alpha[free] = prior.cpu().numpy()
    laplacian = cf_laplacian(image.cpu().numpy() / 255.0, eps, is_known=~unknown)[free]
    weight = PRIOR + (DISTRUST - PRIOR) * (1 - trust.double().cpu().numpy())
    system = (laplacian[:, free] + diags(weight)).tocsc()
    alpha[free] += cg(system, -(laplacian @ alpha), M=ichol(system), maxiter=1000, rtol=1e-4)
    return torch.from_numpy(alpha.reshape(unknown.shape).astype(np.float32)).to(image.device)
