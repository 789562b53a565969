"""The functions behind FILLS. `fills.py` says what they take and return."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from solo_bg.core.transfer import upload

Fill = Callable[[Tensor, Generator], Tensor]
BLUR = 0.05  # sigma as a share of the longer side
SMALL = 400  # pixels of the longer side of the small image that is blurred


def zero(image: Tensor, random: Generator) -> Tensor:
    return image.new_zeros(3)


def mean(image: Tensor, random: Generator) -> Tensor:
    """The image's own mean colour, rounded."""
    count = image.shape[0] * image.shape[1]
    return ((2 * image.sum((0, 1), dtype=torch.int64) + count) // (2 * count)).to(torch.uint8)


def noise(image: Tensor, random: Generator) -> Tensor:
    """Noise: each channel of each pixel is drawn by itself, uniformly from 0 to 255."""
    return upload(torch.from_numpy(random.integers(0, 256, tuple(image.shape), dtype=np.uint8)), image.device)


def blur(image: Tensor, random: Generator) -> Tensor:
    """The image itself, blurred until nothing in it can be recognised. It is made small first, which is much faster."""
    height, width = image.shape[:2]
    scale = min(1.0, SMALL / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image.cpu().numpy(), size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), BLUR * max(size))
    return upload(torch.from_numpy(cv2.resize(blurred, (width, height))), image.device)


@dataclass(frozen=True)
class Colour:
    """A fill: the same colour for every image, in the order blue, green, red."""

    bgr: tuple[int, int, int]

    def __call__(self, image: Tensor, random: Generator) -> Tensor:
        return upload(torch.tensor(self.bgr, dtype=torch.uint8), image.device)


@dataclass(frozen=True)
class Pictures:
    """A fill: a random one of `count` pictures, scaled to cover the image. `read` gives them, uint8 (h, w, 3), BGR."""

    count: int
    read: Callable[[int], NDArray[np.uint8]]

    def __call__(self, image: Tensor, random: Generator) -> Tensor:
        picture, (height, width) = self.read(int(random.integers(self.count))), image.shape[:2]
        scale = max(height / picture.shape[0], width / picture.shape[1])
        size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
        covering = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (covering.shape[0] - height) // 2, (covering.shape[1] - width) // 2
        return upload(torch.from_numpy(covering[top : top + height, left : left + width].copy()), image.device)


@dataclass(frozen=True)
class Mix:
    """A fill: one of several, drawn for each image with probabilities proportional to the weights."""

    fills: Sequence[Fill]
    weights: Sequence[float]
    names: Sequence[str]

    def choose(self, random: Generator) -> tuple[str, Fill]:
        """Draw one of the fills: its name, and the fill."""
        shares = np.array(self.weights, float) / sum(self.weights)
        index = int(random.choice(len(self.fills), p=shares))
        return self.names[index], self.fills[index]

    def __call__(self, image: Tensor, random: Generator) -> Tensor:
        _, fill = self.choose(random)
        return fill(image, random)


def random_of(seed: int, base_name: str) -> Generator:
    """The random generator of one image. It depends only on the seed and the file's base name."""
    digest = hashlib.sha256(base_name.encode(errors='surrogateescape')).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, '<u4').tolist()])
