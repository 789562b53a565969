"""What the API answers: instances as JSON, pictures as a file or a ZIP."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import Response

from solo_bg.coco import rle
from solo_bg.core.instances import Instances
from solo_bg.core.streams import own_stream
from solo_bg.core.transfer import download
from solo_bg.disk.encode import encode_image
from solo_bg.draw.compose import colours, labels
from solo_bg.options import Options
from solo_bg.pipeline import Segmented, choose, compose, encode
from solo_bg.records import Record
from solo_bg.web.errors import WebError, as_json, raise_failed

MEDIA_TYPES = {'.png': 'image/png', '.jpg': 'image/jpeg', '.webp': 'image/webp', '.zip': 'application/zip'}
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # in a ZIP: equal pictures give equal bytes


def find(found: Segmented, options: Options) -> Response:
    """The instances that `options` choose, best first. Instances without pixels are left out."""
    with own_stream(found.instances.device, found.ready):
        chosen = choose(found, replace(options, styles=())).instances
        areas = chosen.areas.tolist()
        kept = [index for index, area in enumerate(areas) if area]
        palette = colours(len(chosen))[kept].flip(1).tolist()  # RGB; of all, so that they are the overlay's
        instances = chosen[kept]
        (owners,) = download([labels(instances.owner_map, instances)])  # the style looks at no image
        listed = list_instances(instances, palette, [areas[index] for index in kept])
    png = base64.b64encode(encode_image(owners, '.png')).decode()
    height, width = instances.size
    return as_json(
        {
            'image': {'width': width, 'height': height},
            'class_names': list(instances.class_names),
            'instances': listed,
            'owner_map': f'data:image/png;base64,{png}',
        }
    )


def list_instances(instances: Instances, palette: list[list[int]], areas: list[int]) -> list[dict[str, Any]]:
    """Each instance as JSON takes it; its `id` is its index."""
    columns = {
        'label': instances.host_labels,
        'class': instances.names,
        'score': [round(score, 6) for score in instances.scores.tolist()],
        'box': [list(box) for box in instances.host_boxes],
        'area': areas,
        'centre': [[round(x, 2), round(y, 2)] for x, y in instances.centres.tolist()],
        'colour': palette,
        'segmentation': rle.encode(instances),
    }
    rows = zip(*columns.values(), strict=True)
    return [{'id': index, **dict(zip(columns, row, strict=True))} for index, row in enumerate(rows)]


def draw(found: Segmented, options: Options) -> Response:
    """The picture of the only style, or a ZIP of several."""
    composed = compose(found, options)
    if isinstance(composed, Record):
        raise_failed(composed)
    pictures = encode(composed, options)
    if not pictures:
        do = 'lower score_thr, allow more classes, or send on_empty=black or on_empty=copy'
        raise WebError(422, 'an image in which no instance is kept', 'at least one instance', do)
    names = {key: name_in_zip(key, options.output(key, found.job.name)) for key in pictures}
    if len(pictures) > 1 or Path(*names.values()).suffix not in MEDIA_TYPES:
        return as_download(pack({names[key]: data for key, data in pictures.items()}), 'pictures.zip')
    ((key, data),) = pictures.items()
    return as_download(data, names[key])


def name_in_zip(key: str, path: str) -> str:
    """`eliminated.png` for the only picture of a style; a part of a style has the name that is in the style's index."""
    return path if '/' in key else key + Path(path).suffix


def as_download(data: bytes, name: str) -> Response:
    disposition = f'attachment; filename="{name}"'
    return Response(data, media_type=MEDIA_TYPES[Path(name).suffix], headers={'Content-Disposition': disposition})


def pack(pictures: Mapping[str, bytes]) -> bytes:
    """A ZIP of the pictures, by their names in it. They are compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
        for name, data in pictures.items():
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), data)
    return buffer.getvalue()
