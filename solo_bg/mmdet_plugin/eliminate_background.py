"""Eliminate backgrounds in a training pipeline. Equal masks give the same pixels as `tools/eliminate_bg.py`."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.logging import print_log
from numpy.typing import NDArray

from solo_bg.coco.check import Entry
from solo_bg.coco.dataset import Annotations
from solo_bg.core.masks import dilate
from solo_bg.draw.backgrounds import random_of
from solo_bg.draw.compose import replace_background
from solo_bg.draw.fills import one_fill

ALL_MISSED = 200  # images of which none is in `ann_file`: then it is the wrong file
FLIPPED_AXES = {'horizontal': (1,), 'vertical': (0,), 'diagonal': (0, 1)}


@TRANSFORMS.register_module()
class EliminateBackground(BaseTransform):
    """Replace every pixel outside the instances' masks by the fill.

    Put it right after `LoadAnnotations(with_mask=True)`, before any transform that moves pixels, while the image is
    uint8. With `source='file'`, RandomFlip may come before it: the masks are flipped as the image was. Other
    transforms before it are refused where `results` show them; mmdet's RandomAffine, RandomShift, Mosaic and CopyPaste
    leave no trace there.

    Masks may be bitmaps or polygons. As polygons, mmdet drops crowd regions, which are RLE, and loads no annotation
    without a segmentation. mmdet's data sets drop some annotations before any transform sees them: those marked
    `ignore`, of no area, with a box of less than a pixel or outside the image, and of categories that its `metainfo`
    does not list. Their objects are foreground offline, and background here. An image without masks is not changed.

    Args:
        prob: probability to change an image, drawn for each from NumPy's generator, as mmdet's transforms do.
        source: `gt` takes the masks in `results`, `file` those in `ann_file`, crowd regions included. If the file
            comes from an offline run, the result is the same as the run's pictures where it wrote predictions (no
            `--ann`) or annotations (`--source gt`, without `--missed ignore`). After `--source model --ann` the file
            holds the annotations, not what the model found.
        fill: what the background becomes: `zero`, `mean`, `noise`, `blur`, `R,G,B` or `dir:PATH`.
        classes: the classes of the foreground (default: all): label indices, or names among `class_names`. Where an
            image is changed, annotations of other classes are removed from `results`, as the offline run removes them.
        class_names: names of all classes, in the order of the labels; needed if `classes` are names. With `file`, the
            classes are found in the file by these names; without them, `classes` are positions in its `categories`.
        dilate: keep a margin of this many pixels around the masks.
        ann_file: for `file`: a COCO data set such as annotations.json of an offline run. Images are found in it by
            file name, whatever the suffix. An image that is not in it is not changed; the first one is logged.
        seed: random seed of the fill, combined with the image's file name.

    Raises:
        ValueError: an argument; `results` without masks; masks that do not fit the image; none of the first
            ALL_MISSED images is in `ann_file`.
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
        for name, value in (('dilate', dilate), ('seed', seed)):
            if not isinstance(value, int) or value < 0:
                raise ValueError(f'{name} must be a whole number of at least 0, got {value!r}')
        if isinstance(classes, str):
            raise ValueError(f'classes must be a list of names or label indices, got {classes!r}')
        self.prob = prob
        self.fill = one_fill(fill)
        self.labels = None if classes is None else {label_of(one, class_names) for one in classes}
        self.dilate = dilate
        self.seed = seed
        self.annotations = Annotations.from_file(Path(ann_file)) if ann_file else None
        self.ann_file = ann_file
        self.found = self.missed = 0  # images that are in the file, and that are not, in this process
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
        foreground = self.in_file(results) if self.annotations else self.in_results(results, chosen)
        if foreground is None or not foreground.any():
            return results
        if foreground.shape != image.shape[:2]:
            raise ValueError(
                f'{results.get("img_path")}: masks of {foreground.shape} for an image of {image.shape[:2]}; '
                'EliminateBackground belongs before any transform that changes the size'
            )
        if self.annotations:
            foreground = np.flip(foreground, flipped_axes(results, image.shape[:2]))
        if self.labels is not None and chosen is not None:
            for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks'):
                if key in results:
                    results[key] = results[key][chosen]
        pixels = torch.from_numpy(np.ascontiguousarray(image))
        region = dilate(torch.from_numpy(np.ascontiguousarray(foreground)), self.dilate)
        background = self.fill(pixels, random_of(self.seed, Path(results.get('img_path', '')).name))
        results['img'] = replace_background(pixels, region, background).numpy()
        return results

    def chosen(self, results: dict[str, Any]) -> NDArray[np.bool_] | None:
        """Which of the annotations in `results` are of the chosen classes, bool (N,); None if there are none."""
        if 'gt_bboxes_labels' not in results:
            return None
        labels: NDArray[Any] = results['gt_bboxes_labels']
        return np.ones(len(labels), bool) if self.labels is None else np.isin(labels, list(self.labels))

    def in_results(self, results: dict[str, Any], chosen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """The union of the chosen masks in `results`, bool (H, W)."""
        if 'gt_masks' not in results:
            raise ValueError(
                "EliminateBackground found no 'gt_masks'; put LoadAnnotations(with_mask=True) before it, or take the "
                "masks from a file: EliminateBackground(source='file', ann_file=...)"
            )
        given = results['gt_masks'] if chosen is None else results['gt_masks'][chosen]
        union: NDArray[np.bool_] = given.to_ndarray().astype(bool).reshape(-1, given.height, given.width).any(0)
        return union

    def in_file(self, results: dict[str, Any]) -> NDArray[np.bool_] | None:
        """The union of the chosen masks in `ann_file`, bool (H, W); None if the image is not in the file."""
        assert self.annotations
        entry = self.find(PurePosixPath(Path(results['img_path']).as_posix()))
        if entry is None:
            self.miss(results['img_path'])
            return None
        self.found += 1
        instances = self.annotations.read(entry, (int(entry['height']), int(entry['width']))).instances
        wanted = self.labels_in_file
        rows = [row for row, label in enumerate(instances.labels.tolist()) if wanted is None or label in wanted]
        union: NDArray[np.bool_] = instances[rows].union.numpy()
        return union

    def miss(self, path: str) -> None:
        """Log the first image that is not in the file. Refuse the file if it has none of many."""
        assert self.annotations
        known = ', '.join(str(image['file_name']) for image in self.annotations.coco['images'][:2]) or 'none'
        self.missed += 1
        if not self.found and self.missed == ALL_MISSED:
            raise ValueError(
                f'none of {ALL_MISSED} images is in {self.ann_file}; expected file names such as {known}, got {path}'
            )
        if self.missed == 1:
            text = f'{path} is not in {self.ann_file} (file names: {known} ...), so its background stays'
            print_log(f'{text}; further such images are not logged', 'current', logging.WARNING)

    def find(self, path: PurePosixPath) -> Entry | None:
        """The entry of an image: by its file name, whatever the suffix, and by all folders that the entry names. Of
        several, the one with most folders is taken, then the one of the same suffix."""
        candidates = self.entries.get(path.name) or self.entries.get(path.stem) or []
        names = [PurePosixPath(one['file_name']) for one in candidates]
        fitting = [row for row, name in enumerate(names) if ends_with(path.parts[:-1], name.parts[:-1])]
        best = max(fitting, key=lambda row: (len(names[row].parts), names[row].name == path.name), default=None)
        return None if best is None else candidates[best]


def flipped_axes(results: dict[str, Any], size: tuple[int, int]) -> tuple[int, ...]:
    """The axes of the image, 0 its rows, that earlier transforms have flipped.

    mmdet's transforms multiply `homography_matrix`, mmcv's RandomFlip sets `flip` alone.

    Raises:
        ValueError: earlier transforms did more than flip the image.
    """
    matrix = results.get('homography_matrix')
    if matrix is None:
        return FLIPPED_AXES[results['flip_direction']] if results.get('flip') else ()
    for axes in ((), *FLIPPED_AXES.values()):
        flip = np.eye(3)
        for axis in axes:
            row = 1 - axis  # x comes first
            flip[row, row], flip[row, 2] = -1, size[axis]
        if np.allclose(matrix, flip, atol=1e-3):
            return axes
    raise ValueError(
        f"{results.get('img_path')}: an earlier transform has moved pixels, and EliminateBackground(source='file') "
        'cannot move the masks of its file as well; put it before all geometric transforms but RandomFlip'
    )


def label_of(given: int | str, class_names: Sequence[str] | None) -> int:
    """The label index of a class, which is given by its name or by that index. Raises ValueError if there is none."""
    if isinstance(given, (int, np.integer)):
        if given < 0 or (class_names is not None and given >= len(class_names)):
            raise ValueError(f'no class has the label {given}; class_names are {class_names}')
        return int(given)
    if class_names is None or given not in class_names:
        raise ValueError(f'no class named {given!r}; class_names are {class_names}')
    return list(class_names).index(given)


def index_by_stem(annotations: Annotations) -> dict[str, list[Entry]]:
    """The entries by their file name without its suffix; results whose names would collide keep their image's suffix
    before their own."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in annotations.coco['images']:
        entries[PurePosixPath(entry['file_name']).stem].append(entry)
    return dict(entries)


def ends_with(whole: Sequence[str], end: Sequence[str]) -> bool:
    return not end or tuple(whole[-len(end) :]) == tuple(end)
