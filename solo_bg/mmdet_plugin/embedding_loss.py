"""The losses of pixel embeddings (Fathi et al. 2017, https://arxiv.org/abs/1703.10277), and how similar pixels are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures.mask import BaseInstanceMasks
from torch import Tensor

NOT_COUNTED, BACKGROUND = -1, 0  # owners of pixels; instance i is i + 1
NEAR = 1e-6  # smallest squared distance of pixels of different instances: the loss has no bound at 0
SAME = 0.5  # IoU with an object from which a mask has its class


def squared_distances(embeddings: Tensor, others: Tensor) -> Tensor:
    """|e_p - e_q|^2 for all pairs, float (n, D) and (m, D) -> (n, m)."""
    return (embeddings[:, None] - others).square().sum(-1)


def similarity(squared: Tensor) -> Tensor:
    """`2 / (1 + exp(|e_p - e_q|^2))`, in 0..1: equal embeddings have 1."""
    return 2 * torch.sigmoid(-squared)


def owners_of(
    masks: BaseInstanceMasks,
    crowds: BaseInstanceMasks | None,
    valid: tuple[int, int],
    canvas: tuple[int, int],
    size: tuple[int, int],
    device: torch.device,
) -> Tensor:
    """Which instance each pixel of a feature map belongs to.

    Args:
        masks: of the instances. A feature pixel belongs to the instance that covers most of it, if it covers half.
        crowds: masks of the crowd regions; where they cover half of a feature pixel without an instance, it does not
            count.
        valid, canvas: height and width of the image in the batch, and of the batch.
        size: height and width of the feature map.

    Returns:
        int64 (h, w): the index of the instance + 1, `BACKGROUND`, or `NOT_COUNTED`, which padding has too.
    """
    owners = torch.full(size, BACKGROUND, dtype=torch.int64, device=device)
    if crowds is not None and len(crowds):
        owners[covered(crowds, canvas, size, device).amax(0) >= 0.5] = NOT_COUNTED
    if len(masks):
        largest, index = covered(masks, canvas, size, device).max(0)
        owners[largest >= 0.5] = index[largest >= 0.5] + 1
    height, width = (math.ceil(cut * cells / side) for cut, cells, side in zip(valid, size, canvas, strict=True))
    owners[height:], owners[:, width:] = NOT_COUNTED, NOT_COUNTED
    return owners


def covered(masks: BaseInstanceMasks, canvas: tuple[int, int], size: tuple[int, int], device: torch.device) -> Tensor:
    """The part of each feature pixel that each mask covers, float32 (N, h, w)."""
    dense = masks.to_tensor(torch.float32, device)
    padded = F.pad(dense, (0, canvas[1] - dense.shape[2], 0, canvas[0] - dense.shape[1]))
    return F.interpolate(padded[None], size, mode='area')[0]


def choose_samples(owners: Tensor, count: int) -> Tensor:
    """Up to `count` random pixels of each instance and of the background: positions in the flat map, int64 (n,)."""
    chosen = [torch.zeros(0, dtype=torch.int64, device=owners.device)]
    for owner in sorted(set(owners[owners != NOT_COUNTED].tolist())):
        (pixels,) = (owners.flatten() == owner).nonzero(as_tuple=True)
        chosen.append(pixels[torch.randperm(len(pixels), device=owners.device)[:count]])
    return torch.cat(chosen)


def pair_loss(embeddings: Tensor, owners: Tensor) -> Tensor:
    """The mean logistic loss of all pairs of pixels: `-log s` of one instance, `-log(1 - s)` of two.

    A pair weighs 1 / (n_p n_q), where n is the number of given pixels of a pixel's instance, so that instances with
    many pixels do not count for more. Weights add up to 1. Pairs inside the background have none: it need not be one
    thing.

    Args:
        embeddings: float (n, D).
        owners: int64 (n,), the instance of each pixel, or `BACKGROUND`.
    """
    squared = squared_distances(embeddings, embeddings)
    same = owners[:, None] == owners
    sizes = same.sum(1).to(squared)
    counted = ~(same & (owners == BACKGROUND)) & ~torch.eye(len(owners), dtype=torch.bool, device=owners.device)
    weights = counted / (sizes[:, None] * sizes)
    alike = math.log(2) - F.softplus(squared)  # log s
    far = squared.clamp(min=NEAR)
    unlike = torch.log(-torch.expm1(-far)) - F.softplus(-far)  # log(1 - s)
    return -(weights * alike.where(same, unlike)).sum() / weights.sum().clamp(min=1e-12)


@torch.no_grad()
def seed_labels(
    embeddings: Tensor, owners: Tensor, seeds: Tensor, labels: Tensor, thresholds: Sequence[float], classes: int
) -> Tensor:
    """The class of the mask that grows from each seed at each threshold.

    The mask is where the similarity to the seed reaches the threshold. It has the class of the object with which its
    IoU is largest if that is more than 0.5, else `classes`, which means background.

    Args:
        embeddings: float (D, h, w).
        owners: int64 (h, w).
        seeds: int64 (n,), positions in the flattened map.
        labels: int64 (N,), of the instances.

    Returns:
        int64 (n, thresholds).
    """
    counted = owners.flatten() != NOT_COUNTED
    pixels = embeddings.flatten(1).T
    alike = similarity(torch.cdist(pixels[seeds], pixels[counted]).square())
    grown = torch.stack([alike >= threshold for threshold in thresholds], 1).float()  # (n, thresholds, pixels)
    objects = F.one_hot(owners.flatten()[counted], len(labels) + 1)[:, 1:].float()
    if not len(labels):
        return torch.full(grown.shape[:2], classes, device=owners.device)
    common = grown @ objects
    largest, which = (common / (grown.sum(2, keepdim=True) + objects.sum(0) - common)).max(2)
    return labels[which].where(largest > SAME, classes)


def class_loss(logits: Tensor, seeds: Tensor, wanted: Tensor) -> Tensor:
    """The cross-entropy of the seeds' classes, summed over the thresholds, the mean over the seeds.

    Args:
        logits: float (thresholds, C + 1, h, w).
        seeds: int64 (n,), positions in the flattened map; at least one.
        wanted: int64 (n, thresholds).
    """
    of_seeds = logits.flatten(2)[:, :, seeds]  # (thresholds, C + 1, n)
    return F.cross_entropy(of_seeds, wanted.T, reduction='sum') / len(seeds)
