"""Masks as polygons, for readers that take no run-length code. A polygon runs along the edges of the pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from solo_bg.core.instances import Instances

Ring = NDArray[np.int64]  # (P, 2), corners of pixels as x and y, the first not repeated at the end


def polygons(instances: Instances) -> list[list[list[int]]]:
    """Each mask as `segmentation` holds it in JSON: a list of polygons `[x, y, x, y, ...]`, one for each part.

    pycocotools and mmdet read back exactly these masks. A hole is part of the polygon around it: a line that is drawn
    there and back connects them. An empty mask has no polygons.
    """
    found = []
    for crop, (x0, y0, _, _) in zip(instances.crops, instances.host_boxes, strict=True):
        rings = rings_of(crop.cpu().numpy())
        found.append([(ring + np.array([x0, y0])).ravel().tolist() for ring in rings])
    return found


def rings_of(mask: NDArray[np.bool_]) -> list[Ring]:
    """One ring for each part of a mask, bool (h, w). Parts that touch at a corner only are one."""
    if not mask.any():
        return []
    # with four pixels for each, an outline from centre to centre passes by every corner of the given pixels
    double = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, hierarchy = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [without_straight_points(corners_of(contour)) for contour in contours]
    parents: list[int] = hierarchy[0, :, 3].tolist()  # -1 for a part, and the number of its part for a hole
    rings = {index: outlines[index] for index, parent in enumerate(parents) if parent < 0}
    for index, parent in enumerate(parents):
        if parent >= 0:
            rings[parent] = connect(rings[parent], outlines[index])
    return list(rings.values())


def corners_of(contour: NDArray[Any]) -> Ring:
    """Pixels of a contour, (P, 1, 2), in an image of twice the size, as the corners that they touch."""
    return (contour[:, 0].astype(np.int64) + 1) // 2


def without_straight_points(ring: Ring) -> Ring:
    """Without repeated points and points on a straight line between their neighbours."""
    ring = ring[(ring != np.roll(ring, 1, 0)).any(1)]
    before, after = ring - np.roll(ring, 1, 0), np.roll(ring, -1, 0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def connect(ring: Ring, hole: Ring) -> Ring:
    """Put a hole into a ring: to the hole's first point from the nearest point of the ring, around it, and back."""
    nearest = int(((ring - hole[0]) ** 2).sum(1).argmin())
    return np.concatenate([ring[: nearest + 1], hole, hole[:1], ring[nearest:]])
