"""Draw scenes with known masks: textured, shaded shapes on a textured background.

The bundled model is trained on them as well as on photographs, and tests and benchmarks use them because they need no
download. A scene depends on its seed only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Array = NDArray[Any]
Pattern = Callable[[Generator, int, int], Array]


def draw_scene(
    seed: int, height: int = 320, width: int = 400, max_shapes: int = 6, grounds: Sequence[str] | None = None
) -> tuple[Image, NDArray[np.bool_]]:
    """Draw one scene: a background, then 1 to `max_shapes` shapes, each with its own texture, light and soft shadow.

    Args:
        seed: random seed; the same arguments give the same scene.
        height, width: size of the image in pixels.
        max_shapes: largest number of shapes.
        grounds: names of the PATTERNS that the background may have (default: all).

    Returns:
        image: uint8 (H, W, 3), BGR.
        masks: bool (N, H, W), the visible part of each shape, in drawing order. Masks of fewer than 60 pixels are left
            out; if all are that small, the last one is kept.
    """
    rng = np.random.default_rng(seed)
    patterns = PATTERNS if grounds is None else tuple(one for one in PATTERNS if one.__name__ in grounds)
    image: Array = texture(rng, height, width, patterns)
    if rng.random() < 0.5:  # a horizon between two backgrounds
        image = np.where(
            outline_below_line(rng, height, width)[..., None], texture(rng, height, width, patterns), image
        )
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, 1.5))
    masks: list[NDArray[np.bool_]] = []
    for _ in range(rng.integers(1, max_shapes + 1)):
        shape = outline(rng, height, width)
        image = paint(rng, image, shape)
        masks = [mask & ~shape for mask in masks] + [shape]
    image = np.clip(image + rng.normal(0, rng.uniform(0, 5), image.shape), 0, 255)
    visible = [mask for mask in masks if mask.sum() >= 60] or masks[-1:]
    return image.astype(np.uint8), np.stack(visible)


def texture(rng: Generator, height: int, width: int, patterns: Sequence[Pattern] | None = None) -> Array:
    """Draw a surface, float32 (H, W, 3) in 0..255: two colours mixed by one of the patterns."""
    patterns = patterns or PATTERNS
    field = patterns[int(rng.integers(len(patterns)))](rng, height, width)
    first, second = random_colours(rng)
    field = field[..., None]
    return (first * (1 - field) + second * field + 12 * (clouds(rng, height, width)[..., None] - 0.5)).astype(
        np.float32
    )


def random_colours(rng: Generator) -> tuple[Array, Array]:
    """Draw two BGR colours, (3,) each in 0..255. They are usually similar, like the colours of a real surface."""
    first = np.clip(rng.uniform(10, 245) + rng.uniform(-1, 1, 3) * rng.choice([15, 50, 130]), 0, 255)
    nearby = np.clip(first + rng.normal(0, 35, 3), 0, 255)
    return first, nearby if rng.random() < 0.7 else rng.uniform(0, 255, 3)


def clouds(rng: Generator, height: int, width: int) -> Array:
    """Pattern: noise with several octaves, float32 (H, W) in 0..1."""
    field: Array = np.zeros((height, width), np.float32)
    first_octave = rng.integers(1, 5)
    roughness = rng.uniform(0.4, 0.9)
    for octave in range(first_octave, first_octave + 4):
        grid = rng.random((2**octave + 1, 2**octave + 1), dtype=np.float32)
        field += roughness**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(field, field, 0, 1, cv2.NORM_MINMAX)


def stripes(rng: Generator, height: int, width: int) -> Array:
    """Pattern: slightly bent waves along one direction, sharp or smooth, float32 (H, W) in 0..1."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 50)
    bend = rng.uniform(0, 1.5) * clouds(rng, height, width)
    wave = np.sin(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / period + bend))
    return (0.5 + 0.5 * np.tanh(wave * rng.uniform(1, 6))).astype(np.float32)


def checks(rng: Generator, height: int, width: int) -> Array:
    """Pattern: two crossing sets of stripes, float32 (H, W) in 0..1."""
    return np.abs(stripes(rng, height, width) - stripes(rng, height, width))


def spots(rng: Generator, height: int, width: int) -> Array:
    """Pattern: round dots of one size at random positions, float32 (H, W) in 0..1."""
    field: Array = np.zeros((height, width), np.float32)
    radius = int(rng.integers(2, 12))
    for _ in range(rng.integers(20, 200)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(field, centre, radius, 1.0, -1, cv2.LINE_AA)
    return field


def slope(rng: Generator, height: int, width: int) -> Array:
    """Pattern: a linear gradient, float32 (H, W) in 0..1."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    field: Array = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    return cv2.normalize(field, field, 0, 1, cv2.NORM_MINMAX)


PATTERNS = (clouds, clouds, clouds, stripes, checks, spots, slope, slope)  # repeated ones are drawn more often


def outline(rng: Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Draw a shape at a random position, bool (H, W), never empty: one closed curve, or a body with limbs."""
    size = min(height, width) * rng.uniform(0.06, 0.33) * rng.uniform(0.7, 1.3)
    centre = np.array([rng.uniform(0.08, 0.92) * width, rng.uniform(0.08, 0.92) * height])
    mask = np.zeros((height, width), np.uint8)
    fill(mask, closed_curve(rng, centre, size))
    if rng.random() < 0.35:
        for _ in range(rng.integers(1, 6)):
            direction = rng.uniform(0, 2 * np.pi)
            joint = centre + size * rng.uniform(0.7, 1.2) * np.array([np.cos(direction), np.sin(direction)])
            fill(mask, closed_curve(rng, joint, size * rng.uniform(0.2, 0.6)))
    mask[int(centre[1]), int(centre[0])] = 1
    return mask.astype(bool)


def closed_curve(rng: Generator, centre: Array, size: float) -> Array:
    """Draw an ellipse, a polygon, a star or a blob as points (P, 2) around `centre`; `size` is its rough radius in
    pixels."""
    kind = rng.integers(4)
    corners = int(rng.integers(3, 8)) if kind == 1 else 2 * int(rng.integers(4, 8)) if kind == 2 else 90
    angle: Array = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius: Array = np.ones(corners)
    if kind == 1:
        radius = rng.uniform(0.7, 1.2, corners)
    elif kind == 2:
        radius[::2] *= rng.uniform(0.4, 0.8)
    elif kind == 3:
        for wave in range(1, 6):
            radius += rng.normal(0, 0.35 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
        radius = np.clip(radius, 0.25, None)
    points = size * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    points[:, 0] *= rng.uniform(0.4, 1.0)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return points @ rotation.T + centre


def fill(mask: Image, points: Array) -> None:
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)


def outline_below_line(rng: Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Return the area below a tilted horizon, bool (H, W)."""
    left, right = rng.uniform(0.2, 0.8, 2) * height
    return np.arange(height)[:, None] > np.linspace(left, right, width)[None]


def paint(rng: Generator, image: Array, shape: NDArray[np.bool_]) -> Array:
    """Paint a textured shape onto the image: first its shadow, then its surface, lighter on one side.

    Args:
        image: float (H, W, 3) in 0..255.
        shape: bool (H, W).

    Returns:
        float (H, W, 3).
    """
    height, width = shape.shape
    alpha = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), rng.uniform(0.4, 0.9))[..., None]
    if rng.random() < 0.5:
        shift = np.array([[1, 0, rng.normal(0, 8)], [0, 1, rng.uniform(0, 10)]])
        shadow = cv2.warpAffine(shape.astype(np.float32), shift, (width, height))
        shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(2, 8))[..., None]
        image = image * (1 - rng.uniform(0.1, 0.6) * shadow)
    light = 1 + rng.uniform(0, 0.9) * (slope(rng, height, width)[..., None] - 0.5)
    depth = cv2.distanceTransform(shape.astype(np.uint8), cv2.DIST_L2, 3)
    rim = rng.uniform(0, 0.5) * np.exp(-depth / rng.uniform(2, 10))[..., None]
    surface = texture(rng, height, width) * light * (1 - rim)
    return image * (1 - alpha) + surface * alpha
