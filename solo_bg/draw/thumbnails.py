"""Thumbnails for the report of a run: one small JPEG for each image, with the image and its pictures side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from solo_bg.disk.encode import encode_image
from solo_bg.disk.read import read_bytes
from solo_bg.draw.compose import colours
from solo_bg.errors import ImageError

SIDE = 192  # pixels of the longer side of a tile
QUALITY = 80
CHECKER = (204, 255)  # grey values that stand for transparency
SQUARE = 8  # pixels of a side of the checker's squares

Pixels = NDArray[Any]


def thumbnail(image: NDArray[np.uint8], pictures: Iterable[Pixels]) -> bytes:
    """A JPEG of tiles of equal size, from left to right: the image, then each picture.

    Args:
        image: uint8 (H, W, 3), BGR.
        pictures: of the same height and width, as the styles make them (see `solo_bg.draw.styles`).
    """
    factor = -(-max(image.shape[:2]) // SIDE)
    return encode_image(np.concatenate([tile(picture, factor) for picture in (image, *pictures)], 1), '.jpg', QUALITY)


def tile(picture: Pixels, factor: int) -> NDArray[np.uint8]:
    """A picture of any style, `factor` times smaller, uint8 (height, width, 3), BGR.

    The factor is a whole number, because OpenCV then averages areas in a third of the time. For that, less than
    `factor` pixels are cut off at the right and the lower edge.
    """
    height, width = (max(1, side // factor) for side in picture.shape[:2])
    if picture.dtype == np.uint16:  # the style `labels`: numbers, which have no mean
        return paint_labels(picture[::factor, ::factor][:height, :width])
    part = picture[: height * factor, : width * factor]
    small = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if small.ndim == 2:
        return np.repeat(small[..., None], 3, 2)
    return small if small.shape[2] == 3 else over_checker(small)


def paint_labels(numbers: Pixels) -> NDArray[np.uint8]:
    """Numbers of instances, (H, W), in the colours that `overlay` gives them; 0 is black."""
    palette = np.concatenate([np.zeros((1, 3), np.uint8), colours(int(numbers.max())).numpy()])
    return palette[numbers]


def over_checker(picture: Pixels) -> NDArray[np.uint8]:
    """A picture with alpha, (H, W, 4), on grey and white squares."""
    rows, columns = np.indices(picture.shape[:2]) // SQUARE
    ground = np.where((rows + columns) % 2, *CHECKER)[..., None]
    alpha = picture[..., 3:].astype(int)
    return ((picture[..., :3] * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)


def thumbnail_of_files(image: NDArray[np.uint8], out: Path, outputs: Mapping[str, str]) -> bytes:
    """`thumbnail` of pictures that an earlier run wrote; `outputs` as in `Record`.

    Raises:
        ImageError: a picture cannot be read, or has another size than the image.
    """
    pictures = []
    for path in outputs.values():
        picture = cv2.imdecode(np.frombuffer(read_bytes(out / path), np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.shape[:2] != image.shape[:2]:
            raise ImageError(f'{path} is not the picture that an earlier run wrote')
        pictures.append(picture)
    return thumbnail(image, pictures)
