"""Style `instances`: each instance as a picture of its own, cut to its box, with its opacity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.masks import nearest_owner
from solo_bg.draw.compose import check_image
from solo_bg.draw.styles import Part


def instance_crops(image: Tensor, instances: Instances) -> list[Part]:
    """Cut out each instance that has pixels.

    The alpha of a crop is 255 on the instance's mask and 0 elsewhere. Where the instances have an alpha, it is that
    one: on the mask, and on the soft pixels outside all masks to which this instance is the nearest. Colours are
    untouched.

    Args:
        image: uint8 (H, W, 3), BGR, on the instances' device.

    Returns:
        one part for each instance, numbered by its position; the picture is uint8 (h, w, 4), BGRA. The facts:
        `class` (name), `score`, `box` ([x0, y0, x1, y1] of the crop in the image, half-open), `width` and `height` of
        the crop, `area` (pixels of the mask) and `at_edge` (whether the crop touches the image's border, where the
        object may be cut).
    """
    check_image(image, instances.size)
    soft, boxes = soft_pixels(instances)
    parts = []
    for number, facts in describe(instances, boxes):
        x0, y0, x1, y1 = facts['box']
        alpha = opacity_in(instances, number, soft, (x0, y0, x1, y1))
        parts.append(Part(number, torch.cat([image[y0:y1, x0:x1], alpha[..., None]], 2), facts))
    return parts


def describe(instances: Instances, boxes: Sequence[Sequence[int]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the index says about each instance that has pixels, with its position. `boxes` are those of the crops."""
    areas, scores = instances.areas.tolist(), instances.scores.tolist()
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        if areas[number]:
            yield (
                number,
                {
                    'class': instances.names[number],
                    'score': round(scores[number], 6),
                    'box': [x0, y0, x1, y1],
                    'width': x1 - x0,
                    'height': y1 - y0,
                    'area': areas[number],
                    'at_edge': min(x0, y0) == 0 or x1 == instances.size[1] or y1 == instances.size[0],
                },
            )


def soft_pixels(instances: Instances) -> tuple[Tensor | None, list[list[int]]]:
    """Pixels with some opacity outside all masks.

    Returns:
        which instance is nearest to each of these pixels, int16 (H, W), -1 elsewhere, or None if there is no alpha;
        and the box around each instance with its soft pixels, xyxy.
    """
    if instances.alpha is None or not len(instances):
        return None, instances.boxes.tolist()
    nearest = nearest_owner(instances.owner_map)
    soft = nearest.where((instances.alpha > 0) & ~instances.union, -1)
    rows, columns = (soft >= 0).nonzero(as_tuple=True)
    which, (x0, y0, x1, y1) = soft[rows, columns].long(), instances.boxes.T
    reached = [
        start.scatter_reduce(0, which, places, how)
        for start, places, how in (
            *((x0, columns, 'amin'), (y0, rows, 'amin')),
            *((x1, columns + 1, 'amax'), (y1, rows + 1, 'amax')),
        )
    ]
    return soft, torch.stack(reached, 1).tolist()


def opacity_in(instances: Instances, number: int, soft: Tensor | None, box: tuple[int, int, int, int]) -> Tensor:
    """The opacity of one instance in a box around it, uint8 (h, w). `soft` as `soft_pixels` returns it."""
    mask = instances.crops[number].to(torch.uint8)
    if soft is None or instances.alpha is None:
        return mask * 255
    (x0, y0, x1, y1), (left, top, right, bottom) = box, instances.host_boxes[number]
    own = (soft[y0:y1, x0:x1] == number).to(torch.uint8)
    own[top - y0 : bottom - y0, left - x0 : right - x0] |= mask
    return instances.alpha[y0:y1, x0:x1] * own
