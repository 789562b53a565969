"""What becomes of annotations when the pixels around them go, and annotations made of what was found. Dict to dict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import torch

from solo_bg.coco.dataset import Entry, Labelled, encode, has_segmentation
from solo_bg.core.instances import Instances


@dataclass
class Carried:
    """What became of one image's annotations.

    Attributes:
        instances: what stays in the picture.
        entries: the annotations that leave with it.
        iou: of what was found with all that is annotated, outside crowd regions; None if nothing is either.
        decisions: rule -> ids of the annotations that it met.
    """

    instances: Instances
    entries: list[Entry]
    iou: float | None
    decisions: dict[str, list[Any]] = field(default_factory=dict)


def carry_over(
    found: Instances,
    labelled: Labelled,
    missed: str = 'keep',
    min_recall: float = 0.5,
    classes: Collection[str] | None = None,
    margin: int = 0,
) -> Carried:
    """Reconcile what was found with what is annotated.

    Annotations of other classes than `classes` leave. Crowd regions are foreground. Of every other annotation the
    share of its pixels that stay, up to `margin` around what was found, is computed; below `min_recall` the rule
    `missed` decides: `keep` its pixels too, `ignore` it (`iscrowd`, as RLE), or `drop` it.
    """
    chosen = rows_of(labelled, classes)
    annotated = labelled.instances.to(found.device)
    crowds = [row for row in chosen if labelled.entries[row].get('iscrowd')]
    unseen = [row for row in crowds if recall(annotated[row], found.union) < 1]
    kept = found.join(annotated[unseen]) if unseen else found
    outside = ~annotated[crowds].union
    union, wanted = found.union & outside, annotated[chosen].union & outside
    either = int((union | wanted).count_nonzero())
    iou = int((union & wanted).count_nonzero()) / either if either else None
    region = kept.grow(margin).foreground
    decisions: dict[str, list[Any]] = defaultdict(list)
    entries, rescued = [], []
    for row in chosen:
        entry = labelled.entries[row]
        if not has_segmentation(entry):
            decisions['by its box'].append(entry['id'])
        if row not in crowds and recall(annotated[row], region) < min_recall:
            decisions[missed].append(entry['id'])
            if missed == 'drop':
                continue
            if missed == 'ignore':
                entry = {**entry, 'iscrowd': 1, 'segmentation': encode(annotated.masks[row].cpu().numpy())}
            else:
                rescued.append(row)
        entries.append(complete(entry, annotated[row]))
    instances = kept.join(annotated[rescued]) if rescued else kept
    return Carried(instances, entries, iou, dict(decisions))


def rows_of(labelled: Labelled, classes: Collection[str] | None) -> list[int]:
    """Which annotations are of the chosen classes."""
    return [row for row, name in enumerate(labelled.instances.names) if classes is None or name in classes]


def keep_all(labelled: Labelled, classes: Collection[str] | None) -> list[Entry]:
    """The annotations of the chosen classes, where the whole image stays."""
    return [complete(labelled.entries[row], labelled.instances[row]) for row in rows_of(labelled, classes)]


def complete(entry: Entry, one: Instances) -> Entry:
    """The annotation with what mmdet and pycocotools want of every one, taken from its mask where it is not there."""
    x0, y0, x1, y1 = one.host_boxes[0]
    return {'iscrowd': 0, 'area': int(one.areas), 'bbox': [x0, y0, x1 - x0, y1 - y0], **entry}


def recall(one: Instances, region: torch.Tensor) -> float:
    """The share of a mask's pixels that lie in `region`, bool (H, W); 1 for an empty mask."""
    (crop,), ((x0, y0, x1, y1),) = one.crops, one.host_boxes
    area = int(crop.count_nonzero())
    return int((crop & region[y0:y1, x0:x1]).count_nonzero()) / area if area else 1.0


def pseudo_labels(class_names: Sequence[str]) -> Entry:
    """A data set of predictions but for its images and annotations, whose ids `number` gives."""
    ids = category_ids(class_names)
    return {'categories': [{'id': ids[label], 'name': name} for label, name in enumerate(class_names)]}


def number(
    images: Iterable[tuple[Entry, Sequence[Entry]]], categories: Sequence[Any]
) -> Iterator[tuple[Entry, list[Entry]]]:
    """Ids for images and their predictions, from 1 in the order given; `categories` has the id of each label."""
    ids = count(1)
    for image_id, (image, found) in enumerate(images, 1):
        yield (
            {'id': image_id, **image},
            [
                {'id': next(ids), 'image_id': image_id, **one, 'category_id': categories[one['category_id']]}
                for one in found
            ],
        )


def predictions(instances: Instances) -> list[Entry]:
    """Each instance that has pixels as an annotation without ids; its `category_id` is still the label."""
    entries = []
    labels, areas, scores = (values.tolist() for values in (instances.labels, instances.areas, instances.scores))
    columns = instances.crops, instances.host_boxes, labels, areas, scores
    for crop, (x0, y0, x1, y1), label, area, score in zip(*columns, strict=True):
        if area:
            mask = np.zeros(instances.size, bool)
            mask[y0:y1, x0:x1] = crop.cpu().numpy()  # no more than the box leaves the device
            entry = {'category_id': label, 'segmentation': encode(mask), 'area': area, 'iscrowd': 0}
            entries.append({**entry, 'bbox': [x0, y0, x1 - x0, y1 - y0], 'score': score})
    return entries


def category_ids(class_names: Sequence[str]) -> list[int]:
    """COCO's own category ids where the names are COCO's 80 in order, else 1, 2, 3 ..."""
    skipped = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # of 1 to 90: COCO's papers have these, its files do not
    is_coco = len(class_names) == 80 and class_names[0] == 'person' and class_names[79] == 'toothbrush'
    if not is_coco:
        return list(range(1, len(class_names) + 1))
    return [number for number in range(1, 91) if number not in skipped]
