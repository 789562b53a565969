"""Paste crops with their opacity into an image, and bring the masks that are there up to date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from solo_bg.bank.bank import Bank, Item
from solo_bg.bank.place import Rules, draw_place, draw_size
from solo_bg.core.masks import boxes_of

Pixels = NDArray[Any]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Pasted:
    """An image after pasting.

    Attributes:
        image: (H, W, 3), BGR, of the given type.
        masks: bool (N, H, W): the visible part of each instance that is left: old ones first, then pasted ones in the
            order in which they were pasted.
        kept: which of the given masks are left, bool (M,).
        changed: which of the masks that are left are new or were partly hidden, bool (N,).
        items: the pasted ones' items in the bank, one for each of the last masks.
    """

    image: Pixels
    masks: Masks
    kept: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    items: list[Item]


def paste_some(image: Pixels, masks: Masks, boxes: NDArray[Any], bank: Bank, rules: Rules, random: Generator) -> Pasted:
    """Paste random instances of a bank.

    Args:
        image: uint8 or float32 in 0..255, (H, W, 3), BGR.
        masks: bool (M, H, W), of the instances that are there.
        boxes: (M, 4), xyxy, the boxes of the same instances.

    Raises:
        ImageError: a crop's file cannot be read.
    """
    canvas, where = image.copy(), (image.shape[0], image.shape[1])
    items: list[Item] = []
    layers = list(masks.astype(bool))
    areas = [int(mask.sum()) for mask in layers]
    before = [*boxes.tolist()]
    for _ in range(int(random.integers(rules.count[0], rules.count[1] + 1))):
        item = bank.draw(random)
        size = draw_size(item, where, rules, random)
        if size is None:
            continue
        flipped = bool(random.random() < rules.flip)
        colours, opacity = resize(bank.read(item), size, flipped)
        opacity = fade(opacity, rules.feather)
        for _ in range(rules.tries):
            place = draw_place(item, size, where, flipped, rules, random)
            mask = mask_at(opacity, place, where)
            if mask.any() and not hides_too_much(mask, layers, areas, rules.hide):
                blend(canvas, colours, opacity, place)
                layers = [*(layer & ~mask for layer in layers), mask]
                areas.append(int(mask.sum()))
                before.append(boxes_of(torch.from_numpy(mask[None]))[0].tolist())
                items.append(item)
                break
    stacked = np.stack(layers) if layers else masks.astype(bool)
    touched = np.array([int(layer.sum()) < area for layer, area in zip(layers, areas, strict=True)], bool)
    kept = ~touched | visible(stacked, np.array(before, float).reshape(-1, 4), rules)
    pasted = np.arange(len(layers)) >= len(masks)
    left = [item for item, there in zip(items, kept[len(masks) :], strict=True) if there]
    return Pasted(canvas, stacked[kept], kept[: len(masks)], (touched | pasted)[kept], left)


def resize(
    crop: NDArray[np.uint8], size: tuple[int, int], flipped: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A crop, uint8 (h, w, 4), in another size.

    Colours are weighted by opacity, so that what lies around the instance in its own image does not leak in.

    Returns:
        colours, float32 (H, W, 3) in 0..255, and opacity, float32 (H, W) in 0..1.
    """
    opacity = crop[..., 3:].astype(np.float32) / 255
    weighted = np.concatenate([crop[..., :3] * opacity, opacity], 2)
    smaller = size[0] * size[1] < crop.shape[0] * crop.shape[1]
    resized = cv2.resize(weighted, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    resized = np.ascontiguousarray(resized[:, ::-1] if flipped else resized)
    colours = np.asarray(resized[..., :3] / np.maximum(resized[..., 3:], 1e-6), np.float32)
    return colours, np.asarray(resized[..., 3], np.float32)


def fade(opacity: NDArray[np.float32], feather: float) -> NDArray[np.float32]:
    """Opacity, (h, w), that falls to 0 towards the edge, inside the given one. Beyond the crop nothing is opaque."""
    if not feather:
        return opacity
    margin = int(np.ceil(3 * feather))
    padded = cv2.copyMakeBorder(opacity, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    blurred = cv2.GaussianBlur(padded, (0, 0), feather)[margin:-margin, margin:-margin]
    return np.minimum(opacity, np.clip(2 * blurred - 1, 0, 1))


def overlap(crop: tuple[int, ...], place: tuple[int, int], size: tuple[int, ...]) -> tuple[Any, Any]:
    """Slices of the image and of the crop where they meet; empty ones if they do not."""
    here, there = [], []
    for start, length, side in zip(place[::-1], crop[:2], size[:2], strict=True):
        first, end = max(start, 0), max(min(start + length, side), max(start, 0))
        here.append(slice(first, end))
        there.append(slice(first - start, end - start))
    return tuple(here), tuple(there)


def mask_at(opacity: NDArray[np.float32], place: tuple[int, int], size: tuple[int, int]) -> Masks:
    """Where a crop covers more than half of what was there, bool (H, W)."""
    mask = np.zeros(size, bool)
    here, there = overlap(opacity.shape, place, size)
    mask[here] = opacity[there] > 0.5
    return mask


def blend(image: Pixels, colours: NDArray[np.float32], opacity: NDArray[np.float32], place: tuple[int, int]) -> None:
    """Paste a crop into an image, in place."""
    here, there = overlap(opacity.shape, place, image.shape)
    share = opacity[there][..., None]
    mixed = image[here] * (1 - share) + colours[there] * share
    image[here] = mixed if image.dtype.kind == 'f' else np.clip(np.rint(mixed), 0, 255).astype(image.dtype)


def hides_too_much(mask: Masks, layers: Iterable[Masks], areas: Sequence[int], most: float) -> bool:
    """Whether, with `mask` on top, more than `most` of any instance is hidden. `areas`: of the whole instances."""
    for layer, area in zip(layers, areas, strict=True):
        if area and int((layer & ~mask).sum()) < (1 - most) * area and (layer & mask).any():
            return True
    return False


def visible(masks: Masks, before: NDArray[Any], rules: Rules) -> NDArray[np.bool_]:
    """Whether instances that are partly hidden stay, bool (N,): see `Rules`. Those that are wholly hidden never do.

    Args:
        before: (N, 4), their boxes when they were whole, xyxy.
    """
    boxes = boxes_of(torch.from_numpy(masks)).numpy()
    alike = (np.abs(boxes - before) <= rules.bbox_occluded_thr).all(1)
    areas = masks.sum((1, 2))
    return np.asarray((alike | (areas > rules.mask_occluded_thr)) & (areas > 0))
