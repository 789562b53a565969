"""The online form of `tools/eliminate_bg.py`: a transform of a training pipeline. Same masks, same pixels."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray

from solo_bg.assemble import one_fill, open_annotations
from solo_bg.backgrounds import random_of
from solo_bg.coco import Annotations, Entry
from solo_bg.compose import replace_background
from solo_bg.masks import dilate


@TRANSFORMS.register_module()
class EliminateBackground(BaseTransform):
    """Give every pixel outside the instances' masks the fill.

    Belongs right after `LoadAnnotations(with_mask=True)`, before any geometry. Masks may be bitmaps or polygons; as
    polygons mmdet drops crowd regions, which are RLE. mmdet's data sets drop some annotations before any transform sees
    them: those marked `ignore`, of no area, with a box of less than a pixel or outside the image, and of categories
    that the data set's `metainfo` does not list. Offline they are foreground, here they are background. An image
    without masks stays as it is.

    Args:
        prob: of an image to be changed at all, drawn anew each time from NumPy's generator, as mmdet's transforms do.
        source: `gt`, the masks in `results`, or `file`, those in `ann_file`.
        fill: what the background becomes: `zero`, `mean`, `noise`, `blur`, `R,G,B` or `dir:PATH`.
        classes: what is foreground, all if None: label indices, or names among `class_names`. Annotations of other
            classes leave `results`, as they leave the offline run's.
        class_names: of all classes, in the order of the labels; where `classes` are names.
        dilate: keep a margin of this many pixels.
        ann_file: for `file`: the annotations.json of an offline run. An image that is not in it stays as it is.
        seed: of the fill's chance, together with the image's file name.

    Raises:
        ValueError: an argument, or masks of another size than the image.
        SetupError: `ann_file` or the fill cannot be used.
    """

    def __init__(
        self,
        prob: float = 0.5,
        source: str = 'gt',
        fill: str = 'zero',
        classes: Sequence[int | str] | None = None,
        class_names: Sequence[str] | None = None,
        dilate: int = 0,
        ann_file: str | None = None,
        seed: int = 0,
    ) -> None:
        if source not in ('gt', 'file') or (source == 'file') != (ann_file is not None):
            raise ValueError(f"source is 'gt', or 'file' with an ann_file; got {source!r} and {ann_file!r}")
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be from 0 to 1, got {prob}')
        self.prob = prob
        self.fill = one_fill(fill)
        self.labels = None if classes is None else {label_of(one, class_names) for one in classes}
        self.dilate = dilate
        self.seed = seed
        self.annotations = open_annotations(Path(ann_file)) if ann_file else None
        self.entries = index_by_stem(self.annotations) if self.annotations else {}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() >= self.prob:
            return results
        image = results['img']
        masks = self.masks_in_file(results) if self.annotations else self.masks_given(results)
        if masks is None or not masks.any():
            return results
        if masks.shape[1:] != image.shape[:2]:
            raise ValueError(
                f'{results.get("img_path")}: masks of {masks.shape[1:]} for an image of {image.shape[:2]}; '
                'EliminateBackground belongs before any transform that changes the size'
            )
        pixels = torch.from_numpy(np.ascontiguousarray(image))
        foreground = dilate(torch.from_numpy(masks.any(0)), self.dilate)
        background = self.fill(pixels, random_of(self.seed, Path(results.get('img_path', '')).name))
        results['img'] = replace_background(pixels, foreground, background).numpy()
        return results

    def masks_given(self, results: dict[str, Any]) -> NDArray[np.bool_]:
        """bool (N, H, W) of the chosen classes; the others leave `results`."""
        if self.labels is not None:
            keep = np.isin(results['gt_bboxes_labels'], list(self.labels))
            for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks'):
                if key in results:
                    results[key] = results[key][keep]
        masks: NDArray[np.bool_] = results['gt_masks'].to_ndarray().astype(bool)
        return masks.reshape(-1, results['gt_masks'].height, results['gt_masks'].width)

    def masks_in_file(self, results: dict[str, Any]) -> NDArray[np.bool_] | None:
        """bool (N, H, W) of the chosen classes; None if the image is not in the file."""
        entry = self.find(PurePosixPath(Path(results['img_path']).as_posix()))
        if entry is None or self.annotations is None:
            return None
        found = self.annotations.read(entry, tuple(results['img'].shape[:2])).instances
        chosen = [row for row, label in enumerate(found.labels.tolist()) if self.labels is None or label in self.labels]
        return found[chosen].masks.numpy()

    def find(self, path: PurePosixPath) -> Entry | None:
        """The entry of an image: by file name whatever the suffix; of several, the one whose folders agree most."""
        candidates = self.entries.get(path.name) or self.entries.get(path.stem) or []
        return max(candidates, key=lambda entry: shared_end(PurePosixPath(entry['file_name']), path), default=None)


def label_of(given: int | str, class_names: Sequence[str] | None) -> int:
    if isinstance(given, int):
        return given
    if class_names is None or given not in class_names:
        raise ValueError(f'no class named {given!r}; class_names are {class_names}')
    return list(class_names).index(given)


def index_by_stem(annotations: Annotations) -> dict[str, list[Entry]]:
    """Results are called after their image without its suffix, or with it where two would collide."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in annotations.coco['images']:
        entries[PurePosixPath(entry['file_name']).stem].append(entry)
    return dict(entries)


def shared_end(first: PurePosixPath, second: PurePosixPath) -> int:
    """How many folders above the files agree, from the last upwards."""
    pairs = zip(first.parts[-2::-1], second.parts[-2::-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
