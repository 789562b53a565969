"""Operations on masks, on the device of the masks.

A mask is bool (H, W); masks are bool (N, H, W). A box is xyxy in pixels, half-open. A crop is a mask cut to its box. A
layer is some of the masks, cut to one box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[int, int, int, int]
Layer = tuple[slice, Box, Tensor]  # which masks, the box that they are cut to, and bool (k, h, w)
TOGETHER = {'cuda': 2**26}  # pixels of all masks of an image: up to this size one call on all of them is faster than
# a call for each on its box, because a GPU waits for the calls; a CPU is always faster on the boxes


def together(count: int, size: tuple[int, int], device: torch.device) -> bool:
    """Whether to process `count` masks of an image of height and width `size` in one call, not in one call each."""
    return 0 < count * size[0] * size[1] <= TOGETHER.get(device.type, 0)


def boxes_of(masks: Tensor) -> Tensor:
    """The smallest box around each mask.

    Args:
        masks: bool (N, H, W).

    Returns:
        int64 (N, 4), xyxy, half-open; an empty mask gives (0, 0, 0, 0).
    """
    n, height, width = masks.shape
    if masks.numel() == 0:
        return torch.zeros(n, 4, dtype=torch.int64, device=masks.device)
    y0, y1 = first_and_end(occupied_rows(masks))
    if together(n, (height, width), masks.device):
        used = masks.view(torch.uint8).amax(1)
    else:
        used = torch.zeros(n, width, dtype=torch.uint8, device=masks.device)
        for index, (top, bottom) in enumerate(torch.stack([y0, y1], 1).tolist()):
            if top < bottom:
                used[index] = masks[index, top:bottom].view(torch.uint8).amax(0)
    x0, x1 = first_and_end(used.bool())
    return torch.stack([x0, y0, x1, y1], 1)


def occupied_rows(masks: Tensor) -> Tensor:
    """bool (N, H): which rows hold any pixel. Reads eight pixels at a time where the layout allows it, because amax
    over int64 words is several times faster than `any` over bytes."""
    if masks.shape[2] % 8 == 0 and masks.is_contiguous() and masks.storage_offset() % 8 == 0:
        return masks.view(torch.int64).amax(2) != 0
    return masks.view(torch.uint8).amax(2) != 0


def first_and_end(flags: Tensor) -> tuple[Tensor, Tensor]:
    """The first true index and one past the last, int64 (N,) each, of each row of bool (N, L); zeros where none is."""
    bits = flags.view(torch.uint8)
    end = flags.shape[1] - bits.flip(1).argmax(1)
    return bits.argmax(1), end.where(flags.any(1), 0)


def owner_map(layers: Iterable[Layer], count: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """The instance on top at each pixel: the first of those given, which is drawn last.

    Args:
        layers: all masks.
        count: how many they are.
        size: height and width of the image.

    Returns:
        int16 (H, W): the index of the instance, -1 on background.
    """
    if count > torch.iinfo(torch.int16).max:
        raise ValueError(f'an owner map holds at most 32767 instances, got {count}; select some first')
    rank = torch.zeros(size, dtype=torch.int16, device=device)  # N - index: larger is further up; 0 is background
    ranks = torch.arange(count, 0, -1, dtype=torch.int16, device=device)[:, None, None]
    for which, (x0, y0, x1, y1), layer in layers:
        ranked = layer.view(torch.uint8) * ranks[which]
        region = rank[y0:y1, x0:x1]
        torch.maximum(region, ranked[0] if len(ranked) == 1 else ranked.amax(0), out=region)
    return (count - rank).where(rank > 0, -1)


def nearest_owner(owner: Tensor) -> Tensor:
    """An owner map, int16 (H, W), in which each background pixel has the owner of the nearest pixel that has one.

    Computed on the host by OpenCV. A map of background alone comes back as it is.
    """
    given = owner.cpu().numpy()
    background = (given < 0).astype(np.uint8)
    if background.all():
        return owner
    _, nearest = cv2.distanceTransformWithLabels(
        background, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owners = np.zeros(nearest.max() + 1, np.int16)  # OpenCV gives each pixel that has an owner a number of its own
    owners[nearest[background == 0]] = given[background == 0]
    return torch.from_numpy(owners[nearest]).to(owner.device)


def count_rows_and_columns(
    layers: Iterable[Layer], count: int, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Pixels set in each row, int64 (N, H), and in each column, int64 (N, W), of each of `count` masks."""
    rows = torch.zeros(count, size[0], dtype=torch.int64, device=device)
    columns = torch.zeros(count, size[1], dtype=torch.int64, device=device)
    for which, (x0, y0, x1, y1), layer in layers:
        bits = layer.view(torch.uint8)  # `sum` of bool would copy to int64 first
        rows[which, y0:y1] = bits.sum(2, dtype=torch.int32)
        columns[which, x0:x1] = bits.sum(1, dtype=torch.int32)
    return rows, columns


def centres_of_mass(rows: Tensor, columns: Tensor) -> Tensor:
    """Centres of mass from the counts of `count_rows_and_columns`.

    Returns:
        float64 (N, 2) as (x, y) in pixels, where the centre of the first pixel is 0; NaN for an empty mask. Every
        device gives the same numbers: the sums are whole numbers, and one division follows.
    """
    area = rows.sum(1).double()
    x = (columns * torch.arange(columns.shape[1], device=columns.device)).sum(1)
    y = (rows * torch.arange(rows.shape[1], device=rows.device)).sum(1)
    return torch.stack([x / area, y / area], 1)


def dilate(mask: Tensor, radius: int) -> Tensor:
    """bool (H, W): a mask, and every pixel whose centre is at most `radius` from the centre of one of its pixels."""
    if radius <= 0 or not mask.numel():
        return mask
    distance = distance_along_rows(mask)
    dilated = mask.clone()
    for step in range(-min(radius, len(mask) - 1), min(radius, len(mask) - 1) + 1):
        near = distance <= math.isqrt(radius**2 - step**2)
        first, end = max(0, step), len(mask) + min(0, step)
        dilated[first - step : end - step] |= near[first:end]
    return dilated


def distance_along_rows(mask: Tensor) -> Tensor:
    """int64 (H, W): the distance from each pixel to the nearest set pixel of its row; huge where the row has none."""
    at, nowhere = torch.arange(mask.shape[1], device=mask.device).expand_as(mask), 2**40
    last = at.where(mask, -nowhere).cummax(1).values
    following = at.where(mask, nowhere).flip(1).cummin(1).values.flip(1)
    return torch.minimum(at - last, following - at)


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize masks, bool (N, h, w), to bool (N, H, W): bilinear with half-pixel centres, then > 0.5."""
    if tuple(masks.shape[1:]) == tuple(size):
        return masks
    resized = masks.new_zeros((len(masks), *size))
    for source, target in zip(masks, resized, strict=True):  # one at a time: as float they take four times the memory
        smooth = F.interpolate(source[None, None].float(), size=size, mode='bilinear', align_corners=False)
        torch.gt(smooth[0, 0], 0.5, out=target)
    return resized
