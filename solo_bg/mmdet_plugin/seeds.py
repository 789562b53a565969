"""Seeds of instances among the embeddings of pixels, and the masks that grow from them."""

from __future__ import annotations

import torch
from torch import Tensor

from solo_bg.mmdet_plugin.embedding_loss import similarity


def choose_seeds(embedding: Tensor, seediness: Tensor, count: int, alpha: float, score_thr: float) -> Tensor:
    """Choose seeds one after the other: the largest `log seediness + alpha * log distance`.

    The distance is 1 minus the largest similarity to a seed that is already chosen, and 1 for the first.

    Args:
        embedding: float (D, P).
        seediness: float (P,), in 0..1.
        count: most seeds.
        score_thr: seeds must have more seediness.

    Returns:
        int64 (n,), in the order of the choice.
    """
    value = seediness.log().masked_fill(seediness <= score_thr, -torch.inf)
    nearest = torch.zeros_like(seediness)
    chosen: list[int] = []
    while len(chosen) < count:
        gain = value + torch.special.xlog1py(alpha, -nearest)  # alpha * log(1 - nearest), 0 for alpha 0
        best = int(gain.argmax())
        if not gain[best] > -torch.inf:
            break
        chosen.append(best)
        squared = (embedding - embedding[:, best : best + 1]).square().sum(0)
        nearest = torch.maximum(nearest, similarity(squared))
        value[best] = -torch.inf  # with alpha 0, the distance would not keep it from being chosen again
    return torch.tensor(chosen, dtype=torch.int64, device=embedding.device)


def similarity_maps(embedding: Tensor, positions: Tensor) -> Tensor:
    """The similarity of all pixels to some, float (D, h, w) and int64 (n,) -> float (n, h, w)."""
    pixels = embedding.flatten(1)
    maps = [similarity((pixels - pixels[:, one : one + 1]).square().sum(0)) for one in positions.tolist()]
    return torch.stack(maps).view(-1, *embedding.shape[-2:]) if maps else embedding.new_zeros(0, *embedding.shape[-2:])


def signed(alike: Tensor, threshold: Tensor) -> Tensor:
    """Similarities, in 0..1, on a scale from -1 (no similarity) over 0 (the threshold) to 1 (equal).

    Enlarged bilinearly, such a map crosses 0 half-way between a pixel inside and one outside an instance. The
    similarity itself would cross a high threshold closer to the inner pixel and so shrink all masks.
    """
    above = alike - threshold
    return torch.where(above >= 0, above / (1 - threshold), above / threshold)


def distinct(masks: Tensor, iou_thr: float) -> Tensor:
    """NMS of masks, bool (n, h, w), best first: the indices of those that stay, int64 (k,). A mask is left out if its
    IoU with one that stays is greater than `iou_thr`."""
    flat = masks.flatten(1).float()
    common, areas = flat @ flat.T, flat.sum(1)
    overlapping = (common / (areas[:, None] + areas - common).clamp(min=1) > iou_thr).cpu()
    keep: list[int] = []
    for row in range(len(masks)):
        if not overlapping[row, keep].any():
            keep.append(row)
    return torch.tensor(keep, dtype=torch.int64, device=masks.device)
