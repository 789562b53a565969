"""Styles that draw several pictures of an image, and their index: one JSON line for each picture."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from solo_bg.coco.dataset import Labelled
from solo_bg.core.instances import Instances
from solo_bg.core.transfer import download
from solo_bg.draw.styles import ALPHA_STYLES, PART_STYLES, load_part_style
from solo_bg.options import Options

Row = dict[str, Any]


def draw_parts(
    image: Tensor,
    colours: Tensor,
    instances: Instances,
    options: Options,
    name: str,
    facts: Row,
    annotated: Labelled | None,
) -> tuple[dict[str, NDArray[Any]], dict[str, list[Row]]]:
    """Draw the styles of PART_STYLES that `options` ask for.

    Args:
        image, colours: uint8 (H, W, 3), BGR, on the instances' device: the image, and the foreground's colours.
        name: of the image's results.
        facts: what the index says about every picture of the image, besides its licence.
        annotated: the image's annotations, if there are any.

    Returns:
        the pictures, on the host, by their keys in `Record.outputs`; and the rows of each style's index.
    """
    pictures: dict[str, Tensor] = {}
    rows: dict[str, list[Row]] = {}
    styles = [style for style in options.styles if style in PART_STYLES]
    crowd = in_crowd(instances, annotated.crowd if annotated else None) if styles else []
    facts = {**facts, 'licence': annotated.licence if annotated else None}
    for style in styles:
        rows[style] = []
        for part in load_part_style(style)(colours if style in ALPHA_STYLES else image, instances):
            key = f'{style}/{part.number}'
            pictures[key] = part.picture
            own = {'file': options.output(key, name), **part.facts, 'crowd': crowd[part.number]}
            rows[style].append(own | facts)
    return dict(zip(pictures, download(list(pictures.values())), strict=True)), rows


def in_crowd(instances: Instances, crowd: Tensor | None) -> list[bool]:
    """Whether more than half of each instance lies in `crowd`, bool (H, W) on any device."""
    if crowd is None:
        return [False] * len(instances)
    crowd = crowd.to(instances.device)
    places = zip(instances.host_boxes, instances.crops, strict=True)
    inside = [int((crop & crowd[y0:y1, x0:x1]).sum()) for (x0, y0, x1, y1), crop in places]
    return [2 * pixels > area for pixels, area in zip(inside, instances.areas.tolist(), strict=True)]


def encode_rows(rows: Iterable[Row]) -> bytes:
    """The rows as lines of JSON."""
    return b''.join(json.dumps(row).encode() + b'\n' for row in rows)
