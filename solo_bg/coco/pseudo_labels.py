"""Predictions as a COCO data set to train on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from solo_bg.coco.check import Entry
from solo_bg.coco.polygons import polygons
from solo_bg.coco.rle import as_segmentation, runs_of
from solo_bg.core.instances import Instances
from solo_bg.version import __version__


def pseudo_labels(class_names: Sequence[str]) -> Entry:
    """The data set without its images and annotations, whose ids `number` gives. Equal runs give equal data sets."""
    ids = category_ids(class_names)
    return {
        'info': {'description': 'Instances that a model found', 'contributor': f'solo_bg {__version__}'},
        'licenses': [],
        'categories': [{'id': ids[label], 'name': name} for label, name in enumerate(class_names)],
    }


def number(
    images: Iterable[tuple[Entry, Sequence[Entry]]], categories: Sequence[Any]
) -> Iterator[tuple[Entry, list[Entry]]]:
    """Give ids to images and their predictions, from 1 in the order given; `categories` holds the id of each label.

    The frames of a video, whose entries name it as `video`, get its id as `video_id`; see `list_videos`.
    """
    ids, videos = count(1), dict[str, int]()
    for image_id, (image, found) in enumerate(images, 1):
        if name := image.get('video'):
            kept = {key: value for key, value in image.items() if key != 'video'}
            image = {**kept, 'video_id': videos.setdefault(name, len(videos) + 1)}
        yield (
            {'id': image_id, **image},
            [
                {'id': next(ids), 'image_id': image_id, **one, 'category_id': categories[one['category_id']]}
                for one in found
            ],
        )


def list_videos(images: Iterable[Entry]) -> list[Entry]:
    """The entries of `videos`, for images in the order in which `number` gets them."""
    names = dict.fromkeys(image['video'] for image in images if 'video' in image)
    return [{'id': video_id, 'name': name} for video_id, name in enumerate(names, 1)]


def predictions(instances: Instances, segmentation: str = 'rle') -> list[Entry]:
    """Each instance that has pixels as an annotation without ids; its `category_id` is still the label.

    Args:
        segmentation: `rle` or `polygon`.
    """
    entries = []
    labels, scores = instances.labels.tolist(), instances.scores.tolist()
    tracks: Sequence[int | None] = instances.tracks or [None] * len(instances)
    outlines: Iterable[Any] = polygons(instances) if segmentation == 'polygon' else [None] * len(instances)
    columns = runs_of(instances), outlines, instances.host_boxes, labels, scores, tracks
    for runs, outline, (x0, y0, x1, y1), label, score, track in zip(*columns, strict=True):
        if area := int(runs[1::2].sum()):
            shape = outline or as_segmentation(runs, instances.size)
            entry = {'category_id': label, 'segmentation': shape, 'area': area, 'iscrowd': 0}
            entry |= {'bbox': [x0, y0, x1 - x0, y1 - y0], 'score': score}
            entries.append(entry if track is None else {**entry, 'instance_id': track + 1})
    return entries


def category_ids(class_names: Sequence[str]) -> list[int]:
    """COCO's own category ids where the names are COCO's 80 in order, else 1, 2, 3 ..."""
    skipped = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # COCO's papers list these ids, its files do not use them
    is_coco = len(class_names) == 80 and class_names[0] == 'person' and class_names[79] == 'toothbrush'
    if not is_coco:
        return list(range(1, len(class_names) + 1))
    return [number for number in range(1, 91) if number not in skipped]
