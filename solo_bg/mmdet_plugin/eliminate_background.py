"""The online form of `tools/eliminate_bg.py`: a transform of a training pipeline. Same masks, same pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray

from solo_bg.coco.dataset import Annotations, Entry
from solo_bg.core.masks import dilate
from solo_bg.draw.backgrounds import random_of
from solo_bg.draw.compose import replace_background
from solo_bg.draw.fills import one_fill


@TRANSFORMS.register_module()
class EliminateBackground(BaseTransform):
    """Give every pixel outside the instances' masks the fill.

    Belongs right after `LoadAnnotations(with_mask=True)`, before any geometry, while the image is uint8. Masks may be
    bitmaps or polygons; as polygons mmdet drops crowd regions, which are RLE, and it loads no annotation without a
    segmentation. mmdet's data sets drop some annotations before any transform sees them: those marked `ignore`, of no
    area, with a box of less than a pixel or outside the image, and of categories that its `metainfo` does not list.
    Offline they are foreground, here they are background. An image without masks stays as it is.

    Args:
        prob: of an image to be changed at all, drawn anew each time from NumPy's generator, as mmdet's transforms do.
        source: `gt`, the masks in `results`, or `file`, those in `ann_file`, crowds included. Of an offline run that is
            the same as its pictures if it wrote predictions (no `--ann`), or what is annotated (`--source gt`, and not
            `--missed ignore`); after `--source model --ann` the file holds the annotations, not what the model found.
        fill: what the background becomes: `zero`, `mean`, `noise`, `blur`, `R,G,B` or `dir:PATH`.
        classes: what is foreground, all if None: label indices, or names among `class_names`. Where an image is
            changed, annotations of other classes leave `results`, as they leave the offline run's.
        class_names: of all classes, in the order of the labels; where `classes` are names. With `file`, classes are
            found in it by these names; without them, `classes` are positions in its `categories`.
        dilate: keep a margin of this many pixels.
        ann_file: for `file`: a COCO data set such as an offline run's annotations.json. An image that is not in it, by
            file name whatever the suffix, stays as it is.
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
        self.annotations = Annotations.from_file(Path(ann_file)) if ann_file else None
        self.entries = index_by_stem(self.annotations) if self.annotations else {}
        self.labels_in_file = self.labels
        if self.annotations and self.labels is not None and class_names is not None:
            names = [class_names[label] for label in self.labels]
            self.labels_in_file = {label_of(name, self.annotations.class_names) for name in names}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() >= self.prob:
            return results
        image = results['img']
        chosen = self.chosen(results)
        masks = self.masks_in_file(results) if self.annotations else self.masks_given(results, chosen)
        if masks is None or not masks.any():
            return results
        if masks.shape[1:] != image.shape[:2]:
            raise ValueError(
                f'{results.get("img_path")}: masks of {masks.shape[1:]} for an image of {image.shape[:2]}; '
                'EliminateBackground belongs before any transform that changes the size'
            )
        if self.labels is not None and chosen is not None:
            for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks'):
                if key in results:
                    results[key] = results[key][chosen]
        pixels = torch.from_numpy(np.ascontiguousarray(image))
        foreground = dilate(torch.from_numpy(masks.any(0)), self.dilate)
        background = self.fill(pixels, random_of(self.seed, Path(results.get('img_path', '')).name))
        results['img'] = replace_background(pixels, foreground, background).numpy()
        return results

    def chosen(self, results: dict[str, Any]) -> NDArray[np.bool_] | None:
        """Which of the annotations in `results` are of the chosen classes, bool (N,); None if there are none."""
        if 'gt_bboxes_labels' not in results:
            return None
        labels: NDArray[Any] = results['gt_bboxes_labels']
        return np.ones(len(labels), bool) if self.labels is None else np.isin(labels, list(self.labels))

    def masks_given(self, results: dict[str, Any], chosen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """bool (N, H, W): those in `results`."""
        given = results['gt_masks'] if chosen is None else results['gt_masks'][chosen]
        masks: NDArray[np.bool_] = given.to_ndarray().astype(bool).reshape(-1, given.height, given.width)
        return masks

    def masks_in_file(self, results: dict[str, Any]) -> NDArray[np.bool_] | None:
        """bool (N, H, W) of the chosen classes; None if the image is not in the file."""
        entry = self.find(PurePosixPath(Path(results['img_path']).as_posix()))
        if entry is None or self.annotations is None:
            return None
        found = self.annotations.read(entry, (int(entry['height']), int(entry['width']))).instances
        wanted = self.labels_in_file
        rows = [row for row, label in enumerate(found.labels.tolist()) if wanted is None or label in wanted]
        return found[rows].masks.numpy()

    def find(self, path: PurePosixPath) -> Entry | None:
        """The entry of an image: by its file name, whatever the suffix, and by all folders that the entry names; of
        several the one with most folders, then the one of the same suffix."""
        candidates = self.entries.get(path.name) or self.entries.get(path.stem) or []
        names = [PurePosixPath(one['file_name']) for one in candidates]
        fitting = [row for row, name in enumerate(names) if ends_with(path.parts[:-1], name.parts[:-1])]
        best = max(fitting, key=lambda row: (len(names[row].parts), names[row].name == path.name), default=None)
        return None if best is None else candidates[best]


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


def ends_with(whole: Sequence[str], end: Sequence[str]) -> bool:
    return not end or tuple(whole[-len(end) :]) == tuple(end)
