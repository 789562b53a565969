"""`Instances`: what every mask source returns and every picture style takes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from solo_bg.core import masks as mask_ops
from solo_bg.core.checks import check_lengths, check_values, to_host
from solo_bg.core.crops import Crops
from solo_bg.core.lazy import lazy
from solo_bg.core.masks import Box


class Instances:
    """The instances of one image, in the order given (a detector gives the best score first).

    They are validated when created, never change afterwards, and can be indexed like an array. Each mask is stored as
    its box and the crop inside it. Crops are views of the dense masks if those were given; a detector's large crops
    are packed (`Crops`). `masks` builds dense masks on demand. Labels, scores and boxes are also kept on the host, so
    that selecting instances does not wait for the device.

    Args:
        masks: bool (N, H, W).
        labels: int64 (N,), indices into `class_names`.
        scores: float32 (N,), finite.
        class_names: all classes that the source knows. If it is empty, the name of a label is its number.

    Attributes:
        size: height and width of the image.
        alpha: uint8 (H, W), the opacity of the foreground, or None. `with_alpha` sets it. `union` is `alpha > 127`.
        margin: how many pixels `foreground` reaches beyond `union`. `grow` sets it.
        tracks: for a frame of a video, the track number of each instance, the same in every frame; else None.
            `tracked` sets it.
        host_labels: `labels` as Python integers.

    Raises:
        ValueError: a shape, a type or a length does not fit; the message says what was given.
        ImageError: a score is NaN or infinite.
    """

    host_labels: list[int]

    def __init__(self, masks: Tensor, labels: Tensor, scores: Tensor, class_names: Sequence[str] = ()) -> None:
        if masks.ndim != 3 or masks.dtype != torch.bool:
            raise ValueError(f'masks must be bool (N, H, W), got {masks.dtype} {tuple(masks.shape)}')
        self._set(labels, scores, class_names, (masks.shape[1], masks.shape[2]), len(masks), masks.device)
        self._dense: Tensor | None = masks

    @classmethod
    def from_crops(
        cls,
        boxes: Tensor,
        crops: Sequence[Tensor],
        size: tuple[int, int],
        labels: Tensor,
        scores: Tensor,
        class_names: Sequence[str] = (),
    ) -> Instances:
        """Instances whose boxes are known. No dense masks are made.

        Args:
            boxes: int64 (N, 4), xyxy, half-open, inside the image. Each is the smallest box around its mask.
            crops: N tensors, bool (h, w), each of its box's size. `Crops` stay packed.
            size: height and width of the image.
        """
        self = cls.__new__(cls)
        boxes = boxes.long()
        host_boxes = self._set(labels, scores, class_names, size, len(crops), boxes.device, boxes)
        crops = crops if isinstance(crops, Crops) else Crops(crops)
        for (x0, y0, x1, y1), crop in zip(host_boxes, crops.held, strict=True):
            if crop.dtype != torch.bool or tuple(crop.shape) != (y1 - y0, x1 - x0):
                raise ValueError(f'crop {crop.dtype} {tuple(crop.shape)} does not fit the box {(x0, y0, x1, y1)}')
            if not (0 <= x0 <= x1 <= size[1] and 0 <= y0 <= y1 <= size[0]):
                raise ValueError(f'box {(x0, y0, x1, y1)} reaches outside the image of height and width {size}')
        self.__dict__.update(_dense=None, boxes=boxes, host_boxes=host_boxes, crops=crops)  # nothing left to compute
        return self

    @classmethod
    def empty(cls, size: tuple[int, int], class_names: Sequence[str] = (), device: Any = 'cpu') -> Instances:
        """No instances, of an image of this height and width."""
        nothing = torch.zeros(0, device=device)
        return cls(nothing.bool().reshape(0, *size), nothing.long(), nothing, class_names)

    def _set(
        self,
        labels: Tensor,
        scores: Tensor,
        class_names: Sequence[str],
        size: tuple[int, int],
        length: int,
        device: torch.device,
        boxes: Tensor | None = None,
    ) -> list[Box]:
        """Check and store everything but the masks. Returns `boxes` on the host, copied in the same transfer."""
        check_lengths(labels, scores, length, device)
        self.labels, self.scores = labels.long(), scores.float()
        self.host_labels, host_scores, host_boxes = to_host(self.labels, self.scores, boxes)
        check_values(self.host_labels, host_scores, len(class_names))
        self._host_scores = torch.tensor(host_scores, dtype=torch.float32)
        self.class_names = tuple(class_names)
        self.size = (int(size[0]), int(size[1]))
        self.alpha: Tensor | None = None
        self.margin = 0
        self.tracks: list[int] | None = None
        return host_boxes

    def __len__(self) -> int:
        return len(self.host_labels)

    def __repr__(self) -> str:
        height, width = self.size
        return f'Instances({len(self)} of an image {width}x{height} on {self.device}: {self.count_by_class()})'

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    def masks(self) -> Tensor:
        """bool (N, H, W). Built at each access if only boxes and crops are stored: keep it if you need it twice."""
        if self._dense is not None:
            return self._dense
        dense = torch.zeros(len(self), *self.size, dtype=torch.bool, device=self.device)
        for mask, crop, (x0, y0, x1, y1) in zip(dense, self.crops, self.host_boxes, strict=True):
            mask[y0:y1, x0:x1] = crop
        return dense

    @lazy
    def boxes(self) -> Tensor:
        """int64 (N, 4), xyxy in pixels, half-open, computed from the masks; (0, 0, 0, 0) for an empty mask."""
        return mask_ops.boxes_of(self.masks)

    @lazy
    def host_boxes(self) -> list[Box]:
        """`boxes` as tuples of Python integers, for slicing."""
        return [tuple(box) for box in self.boxes.tolist()]

    @lazy
    def crops(self) -> Crops:
        """The masks cut to their boxes, bool (h, w). A packed one is unpacked each time it is read."""
        return Crops(mask[y0:y1, x0:x1] for mask, (x0, y0, x1, y1) in zip(self.masks, self.host_boxes, strict=True))

    @lazy
    def _dense_on_gpu(self) -> Tensor:
        return self.masks

    def _layers(self) -> Iterator[mask_ops.Layer]:
        """All masks in the grouping that is faster on the device: small ones together on a GPU, else one by one."""
        if mask_ops.together(len(self), self.size, self.device):
            yield slice(0, len(self)), (0, 0, self.size[1], self.size[0]), self._dense_on_gpu
        else:
            for index, (crop, box) in enumerate(zip(self.crops, self.host_boxes, strict=True)):
                yield slice(index, index + 1), box, crop[None]

    @lazy
    def owner_map(self) -> Tensor:
        """int16 (H, W): the index of the instance on top at each pixel, which is drawn last; -1 on background."""
        return mask_ops.owner_map(self._layers(), len(self), self.size, self.device)

    @lazy
    def union(self) -> Tensor:
        """bool (H, W): where any instance is. Its complement is the background."""
        return self.owner_map >= 0

    @lazy
    def foreground(self) -> Tensor:
        """bool (H, W): the pixels that stay: the union and a margin around it."""
        return mask_ops.dilate(self.union, self.margin)

    @lazy
    def _counts(self) -> tuple[Tensor, Tensor]:
        return mask_ops.count_rows_and_columns(self._layers(), len(self), self.size, self.device)

    @lazy
    def areas(self) -> Tensor:
        """int64 (N,), in pixels."""
        return self._counts[0].sum(1)

    @lazy
    def centres(self) -> Tensor:
        """Centres of mass, float64 (N, 2) as (x, y) in pixels; NaN for an empty mask."""
        return mask_ops.centres_of_mass(*self._counts)

    @lazy
    def names(self) -> list[str]:
        """The class name of each instance."""
        return [self.class_names[label] if self.class_names else str(label) for label in self.host_labels]

    def count_by_class(self) -> dict[str, int]:
        """Class name -> number of instances, in alphabetical order."""
        return {name: self.names.count(name) for name in sorted(set(self.names))}

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Instances:
        """Select instances by an index, a slice, a list of indices or a bool mask (N,), in the order of the index.

        `alpha` stays the same if all instances are selected. Otherwise it becomes 0 outside the selected masks, because
        the soft pixels around a mask may belong to an instance that is left out.
        """
        if not isinstance(index, (int, slice)):
            index = torch.as_tensor(index, device='cpu')
            index = index if index.dtype == torch.bool else index.long()  # an empty list arrives as float
        chosen = torch.arange(len(self))[index].reshape(-1)
        rows = chosen.tolist()
        if rows == list(range(len(self))):
            return self
        on_device = chosen.to(self.device, non_blocking=True)
        some = self._like(
            labels=self.labels[on_device],
            scores=self.scores[on_device],
            boxes=self.boxes[on_device],
            crops=self.crops.choose(rows),
            host_labels=[self.host_labels[row] for row in rows],
            host_boxes=[self.host_boxes[row] for row in rows],
            _host_scores=self._host_scores[chosen],
            tracks=None if self.tracks is None else [self.tracks[row] for row in rows],
        )
        if some.alpha is not None and len(set(rows)) < len(self):
            some.alpha = some.alpha * some.union
        return some

    def _like(self, **changed: Any) -> Instances:
        """Instances with these attributes, not checked again; the class names, size, alpha and margin stay."""
        other = Instances.__new__(Instances)
        kept = {name: getattr(self, name) for name in ('class_names', 'size', 'alpha', 'margin')}
        other.__dict__.update({**kept, '_dense': None, 'tracks': None, **changed})
        return other

    def join(self, other: Instances) -> Instances:
        """Append the other instances of the same image to these.

        Classes are matched by name; names that only `other` has are appended to `class_names`. If only one side has
        class names, the names of the other side's labels are their numbers. Each pixel gets the larger alpha; masks
        without alpha count as opaque. The margin is the larger one.

        Raises:
            ValueError: the images have different sizes.
        """
        if self.size != other.size:
            raise ValueError(f'instances of images of sizes {self.size} and {other.size} cannot be joined')
        ours, theirs = self.class_names, other.class_names
        if ours or theirs:
            ours, theirs = ours or self.numbers(), theirs or other.numbers()
        names = {name: label for label, name in enumerate(dict.fromkeys((*ours, *theirs)))}
        renumbered = [names[name] for name in (*self.names, *other.names)] if names else None
        labels = self.host_labels + other.host_labels if renumbered is None else renumbered
        joined = self._like(
            labels=torch.tensor(labels, dtype=torch.int64).to(self.device, non_blocking=True),
            scores=torch.cat([self.scores, other.scores]),
            boxes=torch.cat([self.boxes, other.boxes]),
            crops=self.crops + other.crops,
            host_labels=labels,
            host_boxes=self.host_boxes + other.host_boxes,
            _host_scores=torch.cat([self._host_scores, other._host_scores]),
            class_names=tuple(names),
            margin=max(self.margin, other.margin),
        )
        if self.alpha is not None or other.alpha is not None:
            joined.alpha = torch.maximum(self.opacity(), other.opacity())
        return joined

    def numbers(self) -> tuple[str, ...]:
        """Names for classes that have none: `0`, `1` and so on, up to the largest label."""
        return tuple(map(str, range(max(self.host_labels, default=-1) + 1)))

    def grow(self, margin: int) -> Instances:
        """The same instances with a `foreground` that reaches `margin` pixels beyond their union."""
        grown = copy.copy(self)
        grown.__dict__.pop('foreground', None)
        grown.margin = margin
        return grown

    def named(self, class_names: Sequence[str]) -> Instances:
        """The same instances with these names of all classes. Raises ValueError if a label has no name."""
        if max(self.host_labels, default=-1) >= len(class_names):
            raise ValueError(f'labels go up to {max(self.host_labels)}, {len(class_names)} names given')
        renamed = copy.copy(self)
        renamed.__dict__.pop('names', None)
        renamed.class_names = tuple(class_names)
        return renamed

    def tracked(self, tracks: Sequence[int]) -> Instances:
        """The same instances with these track numbers. Raises ValueError unless there is one for each instance."""
        if len(tracks) != len(self):
            raise ValueError(f'expected {len(self)} track numbers, one for each instance, got {len(tracks)}')
        numbered = copy.copy(self)
        numbered.tracks = list(tracks)
        return numbered

    def opacity(self) -> Tensor:
        """uint8 (H, W): `alpha`, or without alpha 255 on the union and 0 elsewhere."""
        return self.union.to(torch.uint8) * 255 if self.alpha is None else self.alpha

    def with_alpha(self, alpha: Tensor) -> Instances:
        """The same instances with this opacity. Their masks change so that the union is `alpha > 127`.

        Each mask loses the pixels where `alpha` is 127 or less. A pixel above 127 that is in no mask goes to the
        instance whose pixels are nearest.

        Args:
            alpha: uint8 (H, W) on the instances' device.

        Raises:
            ValueError: another type, size or device, or opaque pixels where every mask is empty.
        """
        if alpha.dtype != torch.uint8 or tuple(alpha.shape) != self.size or alpha.device != self.device:
            raise ValueError(
                f'alpha must be uint8 {self.size} on {self.device}, got {alpha.dtype} {tuple(alpha.shape)} on '
                f'{alpha.device}'
            )
        solid = alpha > 127
        same = copy.copy(self) if torch.equal(solid, self.union) else self._fit(solid)
        same.alpha = alpha
        return same

    def _fit(self, union: Tensor) -> Instances:
        """The same instances, their masks changed so that together they cover `union`, bool (H, W), exactly."""
        if not self.union.any() and union.any():
            raise ValueError('alpha has pixels above 127, but the instances have no pixels that they could belong to')
        gained = mask_ops.nearest_owner(self.owner_map).where(union & ~self.union, -1)
        masks = torch.stack([mask & union | (gained == index) for index, mask in enumerate(self.masks)])
        fitted = Instances(masks, self.labels, self.scores, self.class_names)
        fitted.margin, fitted.tracks = self.margin, self.tracks
        return fitted

    def select(self, score_thr: float = 0.0, classes: Iterable[str] | None = None) -> Instances:
        """Select the instances with score > `score_thr` and, if `classes` are given (names, or one name), such a class.

        The order stays.

        Raises:
            ValueError: a class that no instance can have; the message lists the known ones.
        """
        keep = self._host_scores > score_thr
        if classes is not None:
            classes = [classes] if isinstance(classes, str) else list(classes)
            known = self.class_names or tuple(self.names)
            if unknown := [name for name in classes if name not in known]:
                raise ValueError(f'no class named {", ".join(unknown)}; the classes are {", ".join(known)}')
            keep = keep & torch.tensor([name in classes for name in self.names], dtype=torch.bool)
        return self[keep]

    def sort_by_area(self) -> Instances:
        """Smallest mask first; equal areas keep their order."""
        return self[self.areas.argsort(stable=True)]

    def to(self, device: Any) -> Instances:
        """The same instances on another device."""
        target = torch.device(device)
        if target == self.device:
            return self
        moved = {'labels': self.labels, 'scores': self.scores, 'boxes': self.boxes, 'alpha': self.alpha}
        return self._like(
            **{name: None if value is None else value.to(target) for name, value in moved.items()},
            crops=self.crops.to(target),
            host_labels=self.host_labels,
            host_boxes=self.host_boxes,
            _host_scores=self._host_scores,
            tracks=self.tracks,
        )
