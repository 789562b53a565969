"""Draws scenes whose alpha is known: one shape with soft edges, thin twigs or hair, mixed with a ground.

They measure how good alpha and foreground colours are. A scene is a function of its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from solo_bg.scenes import clouds, outline, slope, texture

Field = NDArray[np.float32]
EDGES = ('soft', 'thin', 'hairy')
CONTRAST = 60.0  # least distance of the mean colours of shape and ground


@dataclass(frozen=True)
class SoftScene:
    """A scene and what it was mixed from.

    Attributes:
        image: uint8 (H, W, 3), BGR: `alpha * colours + (1 - alpha) * ground`, with a little noise.
        alpha: float32 (H, W), 0 to 1.
        colours, ground: float32 (H, W, 3), 0 to 255, BGR.
    """

    image: NDArray[np.uint8]
    alpha: Field
    colours: Field
    ground: Field


def draw_soft_scene(seed: int, edge: str = 'soft', height: int = 240, width: int = 320) -> SoftScene:
    """One shape whose edge is of one of EDGES, before a ground out of focus."""
    rng = np.random.default_rng([seed, EDGES.index(edge)])
    body = outline(rng, height, width)
    while not 0.03 < body.mean() < 0.5:
        body = outline(rng, height, width)
    alpha = {'soft': soften, 'thin': add_twigs, 'hairy': add_hair}[edge](rng, body)
    colours, ground = surface(rng, height, width, 0.7), surface(rng, height, width, 5.0)
    while np.linalg.norm(colours[body].mean(0) - ground[~body].mean(0)) < CONTRAST:
        ground = surface(rng, height, width, 5.0)
    mixed = alpha[..., None] * colours + (1 - alpha[..., None]) * ground
    image = np.rint(mixed + rng.normal(0, 1.0, mixed.shape)).clip(0, 255).astype(np.uint8)
    return SoftScene(image, alpha, colours, ground)


def surface(rng: Generator, height: int, width: int, blur: float) -> Field:
    """A texture, blurred by a standard deviation in pixels."""
    return cv2.GaussianBlur(texture(rng, height, width, (clouds, clouds, slope)), (0, 0), blur).clip(0, 255)


def soften(rng: Generator, body: NDArray[np.bool_]) -> Field:
    """A body out of focus."""
    return cv2.GaussianBlur(body.astype(np.float32), (0, 0), rng.uniform(1.5, 4.0))


def add_twigs(rng: Generator, body: NDArray[np.bool_]) -> Field:
    """A body with straight twigs, 1 to 3 pixels thick."""
    canvas = body.astype(np.float32)
    for start, direction in roots(rng, body, 14):
        end = start + direction * rng.uniform(8, 25)
        draw_line(canvas, np.stack([start - 3 * direction, end]), 1.0, int(rng.integers(1, 4)))
    return cv2.GaussianBlur(canvas, (0, 0), 0.6)


def add_hair(rng: Generator, body: NDArray[np.bool_]) -> Field:
    """A body with fine, curved, half-transparent hair."""
    alpha = cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.8)
    for start, direction in roots(rng, body, 140):
        along = np.linspace(0, rng.uniform(6, 16), 10)[:, None]
        across = np.array([-direction[1], direction[0]])
        points = start - 2 * direction + along * direction + rng.normal(0, 0.02) * along**2 * across
        hair = np.zeros_like(alpha)
        draw_line(hair, points, rng.uniform(0.3, 0.9), 1)
        alpha = 1 - (1 - alpha) * (1 - hair)
    return alpha


def roots(rng: Generator, body: NDArray[np.bool_], count: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Points (x, y) on the body's edge, and for each a direction away from the body."""
    distance = cv2.distanceTransform(1 - body.astype(np.uint8), cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(distance - cv2.distanceTransform(body.astype(np.uint8), cv2.DIST_L2, 5), (0, 0), 3)
    down, right = np.gradient(smooth)
    rows, columns = np.nonzero((distance > 0) & (distance < 1.5))
    found = []
    for index in rng.integers(0, len(rows), count):
        at = rows[index], columns[index]
        direction = np.array([right[at], down[at]]) + rng.normal(0, 0.3, 2)
        found.append((np.array([at[1], at[0]], float), direction / max(np.linalg.norm(direction), 1e-6)))
    return found


def draw_line(canvas: Field, points: NDArray[np.float64], value: float, thickness: int) -> None:
    """A line without steps, drawn into a field of 0 to 1 by the larger value."""
    line = np.zeros(canvas.shape, np.uint8)
    fixed = np.rint(points * 16).astype(np.int32)[:, None]
    cv2.polylines(line, [fixed], False, 255, thickness, cv2.LINE_AA, 4)
    np.maximum(canvas, line / np.float32(255) * np.float32(value), out=canvas)
