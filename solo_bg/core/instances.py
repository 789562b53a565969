"""The one noun: `Instances`, what every mask source returns and every picture style takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from solo_bg.core import masks as mask_ops
from solo_bg.core.crops import Crops
from solo_bg.core.masks import Box
from solo_bg.errors import ImageError


class Instances:
    """The instances of one image, in the order given (a detector gives the best score first).

    Validated when made, never changed afterwards, indexed like an array. Each mask is held as a box and its crop, a
    view of the dense masks where those were given; dense masks are built when asked for. A detector's large crops are
    held a bit a pixel (`Crops`).

    Args:
        masks: bool (N, H, W).
        labels: int64 (N,), an index into `class_names` each.
        scores: float32 (N,), finite.
        class_names: of all classes the source knows; may be empty, then a label is called by its number.

    Attributes:
        alpha: uint8 (H, W), the opacity of the foreground, or None. `with_alpha` sets it. `union` is `alpha > 127`.
        margin: how many pixels `foreground` reaches beyond `union`. `grow` sets it.

    Raises:
        ValueError: a shape, a type or a length does not fit; the message says what was given.
        ImageError: a score is NaN or infinite.
    """

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
        """Instances whose boxes are known: no dense masks are made.

        Args:
            boxes: int64 (N, 4), xyxy, half open, inside the image, each the smallest around its mask.
            crops: bool (h, w) each, of its box's size. `Crops` stay packed.
            size: height and width of the image.
        """
        self = cls.__new__(cls)
        boxes = boxes.long()
        self._set(labels, scores, class_names, size, len(crops), boxes.device)
        host_boxes: list[Box] = [tuple(box) for box in boxes.tolist()]
        crops = crops if isinstance(crops, Crops) else Crops(crops)
        for (x0, y0, x1, y1), crop in zip(host_boxes, crops.held, strict=True):
            if crop.dtype != torch.bool or tuple(crop.shape) != (y1 - y0, x1 - x0):
                raise ValueError(f'crop {crop.dtype} {tuple(crop.shape)} does not fit the box {(x0, y0, x1, y1)}')
            if not (0 <= x0 <= x1 <= size[1] and 0 <= y0 <= y1 <= size[0]):
                raise ValueError(f'box {(x0, y0, x1, y1)} reaches outside the image of height and width {size}')
        self._dense = None
        self.__dict__.update(boxes=boxes, host_boxes=host_boxes, crops=crops)  # the cached properties
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
    ) -> None:
        for name, value in (('labels', labels), ('scores', scores)):
            if tuple(value.shape) != (length,):
                raise ValueError(f'{length} masks want {name} of shape ({length},), got {tuple(value.shape)}')
            if value.device != device:
                raise ValueError(f'masks are on {device} and {name} on {value.device}; move them together')
        if labels.is_floating_point() and length:
            raise ValueError(f'labels must be whole numbers, got {labels.dtype}')
        if not torch.isfinite(scores).all():
            raise ImageError(
                'scores must be finite, got NaN or infinity: broken weights, or a precision that overflows'
            )
        numbers: list[int] = labels.tolist()  # one transfer; `min` and `max` on the device would be two
        if length and (min(numbers) < 0 or (class_names and max(numbers) >= len(class_names))):
            raise ValueError(f'labels go from {min(numbers)} to {max(numbers)}, {len(class_names)} names given')
        self.labels = labels.long()
        self.scores = scores.float()
        self.class_names = tuple(class_names)
        self.size = (int(size[0]), int(size[1]))
        self.alpha: Tensor | None = None
        self.margin = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        height, width = self.size
        return f'Instances({len(self)} of an image {width}x{height} on {self.device}: {self.count_by_class()})'

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    def masks(self) -> Tensor:
        """bool (N, H, W). Built anew each time where only boxes and crops are held: keep it if it is needed twice."""
        if self._dense is not None:
            return self._dense
        dense = torch.zeros(len(self), *self.size, dtype=torch.bool, device=self.device)
        for mask, crop, (x0, y0, x1, y1) in zip(dense, self.crops, self.host_boxes, strict=True):
            mask[y0:y1, x0:x1] = crop
        return dense

    @cached_property
    def boxes(self) -> Tensor:
        """int64 (N, 4), xyxy in pixels, half open, computed from the masks; (0, 0, 0, 0) for an empty mask."""
        return mask_ops.boxes_of(self.masks)

    @cached_property
    def host_boxes(self) -> list[Box]:
        """`boxes` as numbers, for slicing."""
        return [tuple(box) for box in self.boxes.tolist()]

    @cached_property
    def crops(self) -> Crops:
        """Each mask cut to its box, bool (h, w). A large one is unpacked each time it is read."""
        return Crops(mask[y0:y1, x0:x1] for mask, (x0, y0, x1, y1) in zip(self.masks, self.host_boxes, strict=True))

    @cached_property
    def owner_map(self) -> Tensor:
        """int16 (H, W): the index of the instance that is drawn last at each pixel, -1 on background."""
        return mask_ops.owner_map(self.crops, self.host_boxes, self.size, self.device)

    @cached_property
    def union(self) -> Tensor:
        """bool (H, W): where any instance is. Its complement is the background."""
        return self.owner_map >= 0

    @cached_property
    def foreground(self) -> Tensor:
        """bool (H, W): the pixels that stay: the union and a margin around it."""
        return mask_ops.dilate(self.union, self.margin)

    @cached_property
    def _counts(self) -> tuple[Tensor, Tensor]:
        return mask_ops.count_rows_and_columns(self.crops, self.host_boxes, self.size, self.device)

    @cached_property
    def areas(self) -> Tensor:
        """int64 (N,), in pixels."""
        return self._counts[0].sum(1)

    @cached_property
    def centres(self) -> Tensor:
        """Centres of mass, float64 (N, 2) as (x, y) in pixels; NaN for an empty mask."""
        return mask_ops.centres_of_mass(*self._counts)

    @cached_property
    def names(self) -> list[str]:
        """The class name of each instance."""
        labels: list[int] = self.labels.tolist()
        return [self.class_names[label] if self.class_names else str(label) for label in labels]

    def count_by_class(self) -> dict[str, int]:
        """Class name -> number of instances, in the order of the names."""
        return {name: self.names.count(name) for name in sorted(set(self.names))}

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Instances:
        """The chosen instances, in the chosen order: a number, a slice, numbers, or bool (N,)."""
        if not isinstance(index, (int, slice)):
            index = torch.as_tensor(index, device='cpu')
            index = index if index.dtype == torch.bool else index.long()  # an empty list arrives as float
        chosen = torch.arange(len(self))[index].reshape(-1)
        rows, crops = chosen.to(self.device, non_blocking=True), self.crops.choose(chosen.tolist())
        some = Instances.from_crops(
            self.boxes[rows], crops, self.size, self.labels[rows], self.scores[rows], self.class_names
        )
        if self.alpha is not None:
            all_chosen = len(set(chosen.tolist())) == len(self)
            some.alpha = self.alpha if all_chosen else self.alpha * some.union
        some.margin = self.margin
        return some

    def join(self, other: Instances) -> Instances:
        """These, then the other's, of one image. Labels go by name: names that only the other has come after ours.

        Where only one side has class names, the other side's labels are named by their numbers. The larger alpha wins;
        masks without alpha are opaque. The margin is the larger one.

        Raises:
            ValueError: they are of images of different sizes.
        """
        if self.size != other.size:
            raise ValueError(f'instances of images of sizes {self.size} and {other.size} cannot be joined')
        ours, theirs = self.class_names, other.class_names
        if ours or theirs:
            ours, theirs = ours or self.numbers(), theirs or other.numbers()
        names = {name: label for label, name in enumerate(dict.fromkeys((*ours, *theirs)))}
        position = [names[name] for name in theirs]
        labels = torch.tensor(position, device=self.device)[other.labels] if position else other.labels
        joined = Instances.from_crops(
            torch.cat([self.boxes, other.boxes]),
            self.crops + other.crops,
            self.size,
            torch.cat([self.labels, labels]),
            torch.cat([self.scores, other.scores]),
            tuple(names),
        )
        if self.alpha is not None or other.alpha is not None:
            joined.alpha = torch.maximum(self.opacity(), other.opacity())
        joined.margin = max(self.margin, other.margin)
        return joined

    def opacity(self) -> Tensor:
        """uint8 (H, W): `alpha`, or 255 on the union where there is none."""
        return self.union.to(torch.uint8) * 255 if self.alpha is None else self.alpha

    def with_alpha(self, alpha: Tensor) -> Instances:
        """The same instances with this opacity. Their masks change so that the union is `alpha > 127`.

        Each mask loses the pixels where `alpha` is 127 or less. A pixel above 127 that no mask has goes to the instance
        whose pixels are nearest.

        `[...]` and `select` keep `alpha` where all instances stay. Where some go, `alpha` becomes 0 outside the masks
        of the others, because the soft pixels around a mask may belong to either.

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
        changed = self if torch.equal(solid, self.union) else self._fit(solid)
        same = changed[:]
        same.alpha = alpha
        return same

    def _fit(self, union: Tensor) -> Instances:
        """The same instances, their masks changed so that together they cover `union`, bool (H, W), exactly."""
        if not self.union.any() and union.any():
            raise ValueError('alpha has pixels above 127, but the instances have no pixels that they could belong to')
        gained = mask_ops.nearest_owner(self.owner_map).where(union & ~self.union, -1)
        masks = torch.stack([mask & union | (gained == index) for index, mask in enumerate(self.masks)])
        fitted = Instances(masks, self.labels, self.scores, self.class_names)
        fitted.margin = self.margin
        return fitted

    def numbers(self) -> tuple[str, ...]:
        """Names for classes that have none: `0` and on, to the largest label."""
        return tuple(map(str, range(int(self.labels.max()) + 1))) if len(self) else ()

    def grow(self, margin: int) -> Instances:
        """The same instances with a `foreground` that reaches `margin` pixels beyond their union."""
        grown = self[:]
        grown.margin = margin
        return grown

    def select(self, score_thr: float = 0.0, classes: Iterable[str] | None = None) -> Instances:
        """Those with score > `score_thr` and, if `classes` are given, a name among them; the order stays.

        Raises:
            ValueError: a class that no instance can have; the message lists the known ones.
        """
        keep = self.scores > score_thr
        if classes is not None:
            classes, known = list(classes), self.class_names or tuple(self.names)
            if unknown := [name for name in classes if name not in known]:
                raise ValueError(f'no class named {", ".join(unknown)}; the classes are {", ".join(known)}')
            wanted = [name in classes for name in self.names]
            keep = keep & torch.tensor(wanted, dtype=torch.bool, device=self.device)
        return self[keep]

    def sort_by_area(self) -> Instances:
        """Smallest mask first; equal areas keep their order."""
        return self[self.areas.argsort(stable=True)]

    def to(self, device: Any) -> Instances:
        """The same instances on another device."""
        labels, scores = self.labels.to(device), self.scores.to(device)
        if self._dense is not None:
            moved = Instances(self._dense.to(device), labels, scores, self.class_names)
        else:
            crops, boxes = self.crops.to(device), self.boxes.to(device)
            moved = Instances.from_crops(boxes, crops, self.size, labels, scores, self.class_names)
        moved.alpha = None if self.alpha is None else self.alpha.to(device)
        moved.margin = self.margin
        return moved
