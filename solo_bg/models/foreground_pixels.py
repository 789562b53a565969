"""An image -> the input of a foreground network, and the network's output -> alpha or class masks, as a recipe says.

For rembg's models the results equal rembg's, to the last bit.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from solo_bg.errors import ImageError
from solo_bg.models.foreground_zoo import Recipe

Pixels = NDArray[np.uint8]
Size = tuple[int, int]  # height and width

LONGEST = 3840  # pixels: a network that keeps the image's size gets no longer side
MULTIPLE = 32  # the networks halve their input five times


def to_input(pixels: Pixels, recipe: Recipe, fixed: Size | None = None) -> NDArray[np.float32]:
    """The network's input.

    Args:
        pixels: uint8 (H, W, 3), BGR.
        fixed: the height and width that the network's file fixes, if it does.

    Returns:
        float32 (1, 3, h, w), RGB, scaled and normalised.
    """
    resized = resize(pixels, fixed or input_size(pixels.shape[:2], recipe), recipe.filter)
    brightest = max(float(resized.max()), 1e-6) if recipe.peak else 255.0
    scaled = np.arange(256) / brightest
    planes = [
        cv2.LUT(resized[..., channel], ((scaled - mean) / std).astype(np.float32))
        for channel, mean, std in zip((2, 1, 0), recipe.mean, recipe.std, strict=True)
    ]
    return np.stack(planes)[None].astype(np.float32, copy=False)


def input_size(size: tuple[int, ...], recipe: Recipe) -> Size:
    """Height and width of the network's input for an image of this height and width."""
    height, width = size
    if recipe.resize == 'stretch':
        return recipe.size, recipe.size
    if recipe.resize == 'keep':
        scale = min(1.0, LONGEST / max(size))
        return max(round(height * scale), MULTIPLE), max(round(width * scale), MULTIPLE)
    keeps = min(size) <= recipe.size <= max(size)
    scale = 1.0 if keeps else recipe.size / min(size)
    longest = max(LONGEST // MULTIPLE, 1)
    return tuple(MULTIPLE * min(max(int(side * scale) // MULTIPLE, 1), longest) for side in size)  # type: ignore[return-value]


def downsample_ratio(size: tuple[int, ...], recipe: Recipe) -> float:
    """`recipe.size` to the longer side of the input, at most 1."""
    return min(1.0, recipe.size / max(size))


def resize(pixels: Pixels, size: Size, kind: str) -> Pixels:
    """uint8 (H, W) or (H, W, 3) brought to another height and width by Pillow's Lanczos filter, or by OpenCV: the mean
    of the area where the image shrinks, bilinear where it grows."""
    height, width = size
    if pixels.shape[:2] == size:
        return pixels
    if kind == 'lanczos':
        return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def to_alpha(output: NDArray[np.floating], recipe: Recipe, size: Size) -> Pixels:
    """The alpha, uint8 (H, W), in the first channel of a network's output, (1, C, h, w).

    Raises:
        ImageError: the output has NaN or infinity.
    """
    values = maps(output)[0]
    if recipe.sigmoid:
        values = 1 / (1 + np.exp(-np.maximum(values, -80)))  # exp(88) would overflow
    if not recipe.spread:
        return resize(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8), size, recipe.filter)
    least, most = values.min(), values.max()
    if least == most:  # nothing differs from anything else: no foreground
        return np.zeros(size, np.uint8)
    return resize(((values - least) / (most - least) * 255).astype(np.uint8), size, recipe.filter)


def to_labels(output: NDArray[np.floating], recipe: Recipe, size: Size) -> NDArray[np.int64]:
    """The class at each pixel, int64 (H, W), 0 for the background: the largest of the channels, (1, C + 1, h, w).

    Raises:
        ImageError: another number of channels than classes and background, NaN or infinity.
    """
    channels = maps(output)
    if len(channels) != 1 + len(recipe.classes):
        raise ImageError(
            f'the network gives {len(channels)} channels; expected one for the background and one for each of '
            f'{", ".join(recipe.classes)}'
        )
    best = channels.argmax(0)
    shares = [resize((best == label).astype(np.uint8) * 255, size, recipe.filter) for label in range(len(channels))]
    return np.stack(shares).argmax(0)


def maps(output: NDArray[np.floating]) -> NDArray[np.floating]:
    """The channels, (C, h, w), of an output of (1, C, h, w) or (1, h, w)."""
    if output.ndim not in (3, 4) or len(output) != 1 or not output.size:
        raise ImageError(f'the network gives an output of shape {output.shape}; expected (1, C, H, W)')
    if not np.isfinite(output).all():
        raise ImageError('the network gives NaN or infinity for this image')
    return output[0] if output.ndim == 4 else output
