"""Draws pictures of an image and its instances, on the instances' device."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.transfer import upload

BAND = 1024  # rows that are coloured at once: the steps between take more memory than the pixels

AnyImage = TypeVar('AnyImage', NDArray[np.uint8], Tensor)


def eliminate_background(image: AnyImage, instances: Instances) -> AnyImage:
    """Set every pixel outside the union of the masks to exactly 0 and leave every other pixel untouched.

    Args:
        image: uint8 (H, W, 3), channels in any order. An array gives an array; a tensor gives a tensor on its device.
        instances: of an image of this height and width.

    Raises:
        ValueError: the image is neither, or the image and the instances do not fit.
    """
    if isinstance(image, Tensor):
        return eliminate(image, instances.union.to(image.device))
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f'an image must be an array or a tensor, uint8 (H, W, 3); got {type(image).__name__}. '
            'cv2.imread gives None for a file that it cannot read'
        )
    tensor = upload(torch.from_numpy(np.ascontiguousarray(image)), instances.device)
    return cast(AnyImage, eliminate(tensor, instances.union).cpu().numpy())


def eliminate(image: Tensor, union: Tensor) -> Tensor:
    """The image, uint8 (H, W, C), zeroed where `union`, bool (H, W), is false."""
    check_image(image, tuple(union.shape))
    return image * union[..., None]


def replace_background(image: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """The image, uint8 (H, W, 3), with `background`, (H, W, 3) or a colour (3,), outside `foreground`, bool (H, W)."""
    check_image(image, tuple(foreground.shape))
    return torch.where(foreground[..., None], image, background)


def colourise(image: Tensor, instances: Instances) -> Tensor:
    """The picture of `show_result_ins` without the names, uint8 (H, W, 3): instances half colour, half image, rounded
    down; the first instance on top; the background 0."""
    check_image(image, instances.size)
    chosen = colours(len(instances)) if instances.tracks is None else colours_of(instances.tracks)
    palette = upload(torch.cat([torch.zeros(1, 3, dtype=torch.uint8), chosen]), image.device)
    owner_map, picture = instances.owner_map, torch.empty_like(image)
    for top in range(0, len(image), BAND):  # a band of rows at a time, for the sake of memory
        pixels, owner, place = (rows[top : top + BAND] for rows in (image, owner_map, picture))
        paint = palette.index_select(0, (owner + 1).int().flatten()).view_as(pixels)
        common = pixels & paint
        paint.bitwise_xor_(pixels).bitwise_right_shift_(1).add_(common)  # (pixels + paint) // 2 within eight bits
        torch.mul(paint, (owner >= 0)[..., None], out=place)
    return picture


@functools.lru_cache(maxsize=8)
def colours(count: int) -> Tensor:
    """One colour for each instance, uint8 (count, 3). As in SOLO's function, each is a draw of its own from NumPy's
    legacy generator with seed 42; a single draw of (count, 3) would give other numbers."""
    random = np.random.RandomState(42)
    drawn = [random.randint(0, 256, (1, 3), dtype=np.uint8) for _ in range(count)]
    return torch.from_numpy(np.concatenate(drawn) if drawn else np.zeros((0, 3), np.uint8))


def colours_of(tracks: Sequence[int]) -> Tensor:
    """The colour of each instance of a video, uint8 (len(tracks), 3): the same in every frame."""
    return colours(max(tracks, default=-1) + 1)[list(tracks)]


def eliminated(image: Tensor, instances: Instances) -> Tensor:
    """Style: the background-eliminated image to train on, uint8 (H, W, 3)."""
    return eliminate(image, instances.foreground)


def mask(image: Tensor, instances: Instances) -> Tensor:
    """Style: what stays, uint8 (H, W), 0 or 255."""
    return instances.foreground.to(torch.uint8) * 255


def labels(image: Tensor, instances: Instances) -> Tensor:
    """Style: the owner map plus one, uint16 (H, W): 0 is background, k + 1 instance k, or the one of track k."""
    if instances.tracks is None:
        return (instances.owner_map + 1).view(torch.uint16)
    numbers = upload(torch.tensor([0, *(track + 1 for track in instances.tracks)]), instances.device)
    return numbers[(instances.owner_map + 1).int()].to(torch.int16).view(torch.uint16)


def cutout(image: Tensor, instances: Instances) -> Tensor:
    """Style: the image with its opacity, uint8 (H, W, 4), BGRA; colours untouched.

    The opacity is the instances' alpha. Where they have none it is 255 on the foreground and 0 elsewhere. A margin
    around the union is opaque.
    """
    check_image(image, instances.size)
    return torch.cat([image, opacity(instances)[..., None]], 2)


def opacity(instances: Instances) -> Tensor:
    """What `cutout` has as alpha, uint8 (H, W)."""
    if instances.alpha is None:
        return instances.foreground.to(torch.uint8) * 255
    return instances.alpha.masked_fill(instances.foreground & ~instances.union, 255)


def fade(image: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """The image, uint8 (H, W, 3), mixed with `background`, (H, W, 3) or a colour (3,), by `alpha`, uint8 (H, W)."""
    check_image(image, tuple(alpha.shape))
    share = alpha[..., None].int()
    return ((image * share + background * (255 - share) + 127) // 255).to(torch.uint8)


def check_image(image: Tensor, size: tuple[int, ...]) -> None:
    """Raise ValueError unless the image is uint8 (H, W, 3) of this height and width."""
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'an image must be uint8 (H, W, 3), got {image.dtype} {tuple(image.shape)}')
    if tuple(image.shape[:2]) != size:
        raise ValueError(
            f'the image has height and width {tuple(image.shape[:2])}, its masks {size}; they must be equal'
        )
