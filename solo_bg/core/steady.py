"""Steady masks over the frames of a video: a median in time of each instance, and of alpha."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box, boxes_of

T = TypeVar('T')
LEAST_IOU = 0.2  # of masks in two frames that may be one instance


class Tracker:
    """Numbers instances from frame to frame. An instance gets the number of the one before that it overlaps most.

    Args:
        memory: frames after which an instance that is not found again is forgotten.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.seen: dict[int, tuple[int, Instances]] = {}  # number -> the frame it was last seen in, and itself
        self.frame = self.following = 0

    def number(self, instances: Instances) -> Instances:
        """The instances of the next frame with their numbers."""
        tracks = [-1] * len(instances)
        found = [
            (iou, index, track)
            for index in range(len(instances))
            for track, (_, other) in self.seen.items()
            if (iou := iou_of(instances, index, other)) >= LEAST_IOU
        ]
        for _, index, track in sorted(found, key=lambda pair: (-pair[0], *pair[1:])):
            if tracks[index] < 0 and track not in tracks:
                tracks[index] = track
        for index, track in enumerate(tracks):
            if track < 0:
                tracks[index], self.following = self.following, self.following + 1
            self.seen[tracks[index]] = self.frame, instances[index]
        self.seen = {track: last for track, last in self.seen.items() if self.frame - last[0] < self.memory}
        self.frame += 1
        return instances.tracked(tracks)


def iou_of(instances: Instances, index: int, other: Instances) -> float:
    """IoU of one of the instances with `other`, a single one of another frame. 0 for different classes and sizes."""
    if instances.names[index] != other.names[0] or instances.size != other.size:
        return 0.0
    shared = intersect(instances.host_boxes[index], other.host_boxes[0])
    if not shared:
        return 0.0
    both = cut(instances, index, shared) & cut(other, 0, shared)
    intersection = int(both.count_nonzero())
    areas = int(instances.areas[index]) + int(other.areas[0])
    return intersection / (areas - intersection) if intersection else 0.0


def intersect(one: Box, other: Box) -> Box | None:
    x0, y0, x1, y1 = max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def cut(instances: Instances, index: int, box: Box) -> Tensor:
    """The part of a mask in a box that lies within its own: bool (h, w)."""
    left, top = instances.host_boxes[index][:2]
    return instances.crops[index][box[1] - top : box[3] - top, box[0] - left : box[2] - left]


def steady(frames: Iterable[tuple[T, Instances]], window: int) -> Iterator[tuple[T, Instances]]:
    """Instances of each frame, steadied by those of the frames around it.

    A pixel belongs to an instance if it does so in more than half of the `window` frames around. Therefore an instance
    that is found in few of them is left out, and one that is missed in few of them is filled in. Edges that move
    steadily do not lag. Alpha is the median. At both ends, the first and the last frame are repeated.

    Args:
        frames: anything, with the instances of one frame; all of one size.
        window: number of frames, odd.

    Yields:
        the same things with the steadied instances, in the order of their numbers (`Instances.tracks`).
    """
    half, tracker = window // 2, Tracker(window)
    numbered = ((thing, tracker.number(instances)) for thing, instances in frames)
    held: deque[tuple[T, Instances]] = deque(maxlen=window)
    for one in repeat_ends(numbered, half):
        held.append(one)
        if len(held) == window:
            yield held[half][0], vote([instances for _, instances in held])


def repeat_ends(items: Iterable[T], count: int) -> Iterator[T]:
    """The items, with `count` more of the first one before them and of the last one behind them."""
    number, item = 0, None
    for number, item in enumerate(items, 1):
        yield from [item] * (count + 1 if number == 1 else 1)
    if number:
        yield from [cast(T, item)] * count


def vote(window: Sequence[Instances]) -> Instances:
    """The instances of the frame in the middle. Frames of another size do not count."""
    half = len(window) // 2
    middle = window[half]
    window = [one if one.size == middle.size else middle for one in window]
    owners: dict[int, list[tuple[Instances, int]]] = {}  # number -> each frame that has it, and its index there
    for one in window:
        for index, track in enumerate(one.tracks or ()):
            owners.setdefault(track, []).append((one, index))
    kept = []
    for track in sorted(owners):
        if len(owners[track]) > half and (voted := majority(owners[track], half)):
            kept.append((track, *voted, *nearest(window, half, track)))
    tracks, boxes, crops, labels, scores = zip(*kept, strict=True) if kept else ((),) * 5
    device = middle.device
    result = Instances.from_crops(
        torch.tensor(boxes, dtype=torch.int64, device=device).reshape(-1, 4),
        crops,
        middle.size,
        torch.tensor(labels, dtype=torch.int64, device=device),
        torch.tensor(scores, dtype=torch.float32, device=device),
        middle.class_names,
    ).tracked(tracks)
    alphas = [one.opacity() for one in window if one.alpha is not None]
    if len(alphas) < len(window) or not len(result):
        return result
    return result.with_alpha(median(alphas))


def majority(owners: Sequence[tuple[Instances, int]], half: int) -> tuple[Box, Tensor] | None:
    """Box and crop of the pixels that are in more than `half` of the masks; None if there are none."""
    boxes = [one.host_boxes[index] for one, index in owners]
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    votes = torch.zeros(y1 - y0, x1 - x0, dtype=torch.uint8, device=owners[0][0].device)
    for (one, index), box in zip(owners, boxes, strict=True):
        votes[box[1] - y0 : box[3] - y0, box[0] - x0 : box[2] - x0] += one.crops[index]
    mask = votes > half
    left, top, right, bottom = boxes_of(mask[None])[0].tolist()
    if left == right:
        return None
    return (x0 + left, y0 + top, x0 + right, y0 + bottom), mask[top:bottom, left:right]


def nearest(window: Sequence[Instances], half: int, track: int) -> tuple[int, float]:
    """Label and score of an instance in the frame nearest to the one in the middle; the earlier of two."""
    order = sorted(range(len(window)), key=lambda index: (abs(index - half), index))
    one = next(window[index] for index in order if track in (window[index].tracks or ()))
    index = (one.tracks or []).index(track)
    return one.host_labels[index], float(one.scores[index])


def median(stack: Sequence[Tensor]) -> Tensor:
    """The median of an odd number of equal tensors, pixel by pixel.

    They are sorted by exchanging neighbours: `torch.median` takes a hundred times as long on three images.
    """
    rows = list(stack)
    for step in range(len(rows)):
        for index in range(step % 2, len(rows) - 1, 2):
            low, high = torch.minimum(rows[index], rows[index + 1]), torch.maximum(rows[index], rows[index + 1])
            rows[index], rows[index + 1] = low, high
    return rows[len(rows) // 2]
