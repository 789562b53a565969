"""Decide what becomes of an image's annotations when the pixels around its instances go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch

from solo_bg.coco.check import Entry, has_segmentation
from solo_bg.coco.dataset import Labelled
from solo_bg.coco.rle import encode
from solo_bg.core.crops import Crops, Shelf
from solo_bg.core.instances import Instances

# an object is missed if less than this share of its pixels stays. `keep` costs nothing but background, so that by
# default no annotated pixel turns black; the other rules take an object out of the data set
MIN_RECALL = {'keep': 1.0, 'ignore': 0.5, 'drop': 0.5}


@dataclass
class Carried:
    """What became of one image's annotations.

    Attributes:
        instances: the instances that stay in the picture.
        entries: the annotations of the picture.
        iou: IoU of the found and the annotated pixels, outside crowd regions; None if there are neither.
        decisions: rule -> ids of the annotations that it was applied to.
        restored: the share of the annotated pixels, outside crowd regions, that only `keep` has kept; None if it was
            applied to no annotation.
    """

    instances: Instances
    entries: list[Entry]
    iou: float | None
    decisions: dict[str, list[Any]] = field(default_factory=dict)
    restored: float | None = None


def carry_over(
    found: Instances,
    labelled: Labelled,
    missed: str = 'keep',
    min_recall: float | None = None,
    classes: Collection[str] | None = None,
    margin: int = 0,
) -> Carried:
    """Reconcile what was found with what is annotated.

    Annotations of other classes than `classes` are left out. Crowd regions are foreground. An object is missed if less
    than `min_recall` (default: MIN_RECALL) of its annotated pixels lie within `margin` of what was found. Then `missed`
    decides: `keep` all its pixels, `ignore` it (`iscrowd`, as RLE), or `drop` its annotation.
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
    least = MIN_RECALL[missed] if min_recall is None else min_recall
    short = [row for row in chosen if row not in crowds and recall(annotated[row], region) < least]
    entries, decisions = apply_rule(labelled, annotated, chosen, missed, short)
    if missed != 'keep' or not short:
        return Carried(kept, entries, iou, decisions)
    added = int((annotated[short].union & ~region).count_nonzero())
    restored = added / int(wanted.count_nonzero())
    return Carried(restore(kept, found.owner_map, annotated[short]), entries, iou, decisions, restored)


def apply_rule(
    labelled: Labelled, annotated: Instances, chosen: list[int], missed: str, short: list[int]
) -> tuple[list[Entry], dict[str, list[Any]]]:
    """The annotations of the picture, and the decisions; `short` are the rows of the missed objects."""
    decisions = defaultdict(list, {rule: list(ids) for rule, ids in labelled.decisions.items()})
    entries = []
    for row in chosen:
        entry = labelled.entries[row]
        if not has_segmentation(entry):
            decisions['by its box'].append(entry['id'])
        if row in short:
            decisions[missed].append(entry['id'])
            if missed == 'drop':
                continue
            if missed == 'ignore':
                entry = {**entry, 'iscrowd': 1, 'segmentation': encode(annotated[row])[0]}
        entries.append(complete(entry, annotated[row]))
    return entries, dict(decisions)


def restore(kept: Instances, owner_map: torch.Tensor, missed: Instances) -> Instances:
    """Keep the pixels of missed objects too.

    The instance that shows half of an object or more grows by the object's pixels; there is no second one of the same
    object. An object that no instance shows as well becomes an instance of its own.

    Args:
        owner_map: int16 (H, W), as `Instances.owner_map`: the index in `kept` of the instance on top, or -1.
        missed: no empty masks.
    """
    growing, alone = defaultdict(list), []
    for row in range(len(missed)):
        index = shown_by(missed[row], owner_map)
        if index is None:
            alone.append(row)
        else:
            growing[index].append(row)
    boxes, crops = list(kept.host_boxes), list(kept.crops.held)
    for index, rows in growing.items():
        parts = kept[index].join(missed[rows])
        x0, y0 = (min(box[side] for box in parts.host_boxes) for side in (0, 1))
        x1, y1 = (max(box[side] for box in parts.host_boxes) for side in (2, 3))
        crop = torch.zeros(y1 - y0, x1 - x0, dtype=torch.bool, device=kept.device)
        for part, (left, top, right, bottom) in zip(parts.crops, parts.host_boxes, strict=True):
            crop[top - y0 : bottom - y0, left - x0 : right - x0] |= part
        boxes[index], crops[index] = (x0, y0, x1, y1), Shelf([crop.numel()], kept.device).put(crop)
    grown = Instances.from_crops(
        torch.tensor(boxes, dtype=torch.int64, device=kept.device).reshape(-1, 4),
        Crops(crops),
        kept.size,
        kept.labels,
        kept.scores,
        kept.class_names,
    )
    if kept.alpha is not None:
        grown_by = [row for rows in growing.values() for row in rows]
        grown.alpha = torch.maximum(kept.alpha, missed[grown_by].opacity())
    return grown.join(missed[alone]) if alone else grown


def shown_by(one: Instances, owner_map: torch.Tensor) -> int | None:
    """The instance that shows at least half of an object's pixels, if there is one."""
    (crop,), ((x0, y0, x1, y1),) = one.crops, one.host_boxes
    owners: list[int] = torch.bincount(owner_map[y0:y1, x0:x1][crop].long() + 1).tolist()  # of background first
    most = max(owners[1:], default=0)
    return owners.index(most, 1) - 1 if most and 2 * most >= sum(owners) else None


def rows_of(labelled: Labelled, classes: Collection[str] | None) -> list[int]:
    """The rows of the annotations of the chosen classes."""
    return [row for row, name in enumerate(labelled.instances.names) if classes is None or name in classes]


def keep_all(labelled: Labelled, classes: Collection[str] | None) -> list[Entry]:
    """The annotations of the chosen classes, where the whole image stays."""
    return [complete(labelled.entries[row], labelled.instances[row]) for row in rows_of(labelled, classes)]


def complete(entry: Entry, one: Instances) -> Entry:
    """The annotation with the keys that mmdet and pycocotools read, computed from its mask where they are absent."""
    x0, y0, x1, y1 = one.host_boxes[0]
    return {'iscrowd': 0, 'area': int(one.areas), 'bbox': [x0, y0, x1 - x0, y1 - y0], **entry}


def recall(one: Instances, region: torch.Tensor) -> float:
    """The share of a mask's pixels that lie in `region`, bool (H, W); 1 for an empty mask."""
    (crop,), ((x0, y0, x1, y1),) = one.crops, one.host_boxes
    area = int(crop.count_nonzero())
    return int((crop & region[y0:y1, x0:x1]).count_nonzero()) / area if area else 1.0
