"""Pure tensors: what the background becomes. The functions behind FILLS; `fills.py` says what they take and return."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from solo_bg.fills import Fill

BLUR = 0.05  # sigma of the blur as a share of the image's longer side


def zero(image: Tensor, random: Generator) -> Tensor:
    return image.new_zeros(3)


def mean(image: Tensor, random: Generator) -> Tensor:
    """The image's own mean colour, rounded."""
    count = image.shape[0] * image.shape[1]
    return ((2 * image.sum((0, 1), dtype=torch.int64) + count) // (2 * count)).to(torch.uint8)


def noise(image: Tensor, random: Generator) -> Tensor:
    """Every channel of every pixel for itself, uniform over 0 to 255."""
    return torch.from_numpy(random.integers(0, 256, tuple(image.shape), dtype=np.uint8)).to(image.device)


def blur(image: Tensor, random: Generator) -> Tensor:
    """The image itself, blurred until nothing in it can be told."""
    sigma = BLUR * max(image.shape[:2])
    return torch.from_numpy(cv2.GaussianBlur(image.cpu().numpy(), (0, 0), sigma)).to(image.device)


def colour(bgr: Sequence[int]) -> Fill:
    """Always this colour, blue first."""
    return lambda image, random: torch.tensor(bgr, dtype=torch.uint8, device=image.device)


def pictures(count: int, read: Callable[[int], NDArray[np.uint8]]) -> Fill:
    """A random one of `count` pictures, which `read` gives as uint8 (h, w, 3), BGR, scaled to cover the image."""

    def fill(image: Tensor, random: Generator) -> Tensor:
        picture, (height, width) = read(int(random.integers(count))), image.shape[:2]
        scale = max(height / picture.shape[0], width / picture.shape[1])
        size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
        covering = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (covering.shape[0] - height) // 2, (covering.shape[1] - width) // 2
        return torch.from_numpy(covering[top : top + height, left : left + width].copy()).to(image.device)

    return fill


def mix(fills: Sequence[Fill], weights: Sequence[float]) -> Fill:
    """One of the fills, drawn for each image."""
    shares = np.array(weights, float) / sum(weights)

    def fill(image: Tensor, random: Generator) -> Tensor:
        return fills[int(random.choice(len(fills), p=shares))](image, random)

    return fill


def random_of(seed: int, base_name: str) -> Generator:
    """The random generator of one image: a function of the seed and the file's base name alone."""
    digest = hashlib.sha256(base_name.encode(errors='surrogateescape')).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, '<u4').tolist()])
