"""Paste instances of a bank into training images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from numpy.random import Generator

from solo_bg.bank.bank import Bank
from solo_bg.bank.paste import Pasted, paste_some
from solo_bg.bank.place import Rules
from solo_bg.coco.polygons import rings_of
from solo_bg.core.masks import boxes_of
from solo_bg.draw.backgrounds import random_of


@TRANSFORMS.register_module()
class PasteInstances(BaseTransform):
    """Paste random instances of a bank, which `eliminate_bg --styles instances` makes, into the image.

    Put it anywhere between `LoadAnnotations(with_mask=True)` and `PackDetInputs`, while pixel values are in 0..255. Old
    instances lose the pixels that are hidden; those that are hidden almost wholly are removed, as by mmdet's
    `CopyPaste`. Masks may be bitmaps or polygons. A polygon that nothing hides stays as it is.

    Required and modified keys: `img`, `gt_bboxes`, `gt_bboxes_labels`, `gt_masks`, and `gt_ignore_flags` where it is.

    Args:
        bank: the output folder of a run with `--styles instances`, or its instances.jsonl.
        class_names: names of all classes, in the order of the labels. Instances of other classes are not pasted.
        prob: probability that an image is changed, drawn anew each time.
        score_thr, smallest, whole: which instances are taken, see `solo_bg.bank.bank.Bank.from_path`.
        seed: None: draws come from NumPy's random state, which mmengine seeds in each worker, so they differ from epoch
            to epoch. A number: draws depend on it and on the image's file name only, and are the same in every epoch.
        rules: how instances are pasted: the fields of `solo_bg.bank.place.Rules`.

    Raises:
        SetupError: the bank cannot be read, or has no instance of these classes.
        ValueError: an argument; or `results` without masks.
    """

    def __init__(
        self,
        bank: str,
        class_names: Sequence[str],
        prob: float = 0.5,
        score_thr: float = 0.0,
        smallest: int = 16,
        whole: bool = True,
        seed: int | None = None,
        **rules: Any,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be from 0 to 1, got {prob}')
        pairs: dict[str, Any] = {
            name: tuple(rules[name]) for name in ('count', 'scale') if name in rules
        }  # configs hold lists
        self.rules = Rules(**{**rules, **pairs})
        self.class_names = list(class_names)
        self.bank = Bank.from_path(Path(bank), self.class_names, score_thr, smallest, whole)
        self.prob = prob
        self.seed = seed

    @autocast_box_type()
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        random = self.random(results)
        if random.random() >= self.prob:
            return results
        if 'gt_masks' not in results:
            raise ValueError("PasteInstances found no 'gt_masks'; put LoadAnnotations(with_mask=True) before it")
        if results['img'].ndim != 3 or results['img'].shape[2] != 3:
            shape = results['img'].shape
            raise ValueError(f'PasteInstances needs images with three channels, got an image of shape {shape}')
        old = results['gt_masks']
        bitmaps = old.to_ndarray().astype(bool).reshape(-1, *results['img'].shape[:2])
        pasted = paste_some(results['img'], bitmaps, results['gt_bboxes'].tensor.numpy(), self.bank, self.rules, random)
        if not pasted.changed.any():
            return results
        results['img'] = pasted.image
        new = len(pasted.items)
        labels = [self.class_names.index(item.class_name) for item in pasted.items]
        results['gt_bboxes_labels'] = np.concatenate(
            [results['gt_bboxes_labels'][pasted.kept], np.array(labels, np.int64)]
        )
        if 'gt_ignore_flags' in results:
            results['gt_ignore_flags'] = np.concatenate([results['gt_ignore_flags'][pasted.kept], np.zeros(new, bool)])
        results['gt_bboxes'] = boxes_after(results['gt_bboxes'], pasted)
        results['gt_masks'] = masks_after(old, pasted)
        return results

    def random(self, results: dict[str, Any]) -> Generator:
        """The random generator of this image."""
        if self.seed is None:
            return np.random.default_rng(np.random.randint(0, 2**31, 4))
        return random_of(self.seed, Path(results.get('img_path', '')).name)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self.bank)} instances, prob={self.prob}, seed={self.seed}, {self.rules})'


def boxes_after(old: Any, pasted: Pasted) -> Any:
    """The boxes of the instances that are left: around the masks of those that changed, the given ones otherwise."""
    kept = old.tensor[torch.from_numpy(pasted.kept)]
    around = boxes_of(torch.from_numpy(pasted.masks)).to(old.tensor.dtype)
    around[: len(kept)] = torch.where(torch.from_numpy(pasted.changed[: len(kept)])[:, None], around[: len(kept)], kept)
    return type(old)(around)


def masks_after(old: BitmapMasks | PolygonMasks, pasted: Pasted) -> BitmapMasks | PolygonMasks:
    """The masks that are left, as bitmaps or polygons as before."""
    if isinstance(old, BitmapMasks):
        return BitmapMasks(pasted.masks.astype(np.uint8), old.height, old.width)
    kept = [polygons for polygons, stays in zip(old.masks, pasted.kept, strict=True) if stays]
    kept += [[]] * len(pasted.items)
    outlines = [
        [ring.ravel().astype(np.float64) for ring in rings_of(mask)] if changed else polygons
        for polygons, mask, changed in zip(kept, pasted.masks, pasted.changed, strict=True)
    ]
    return PolygonMasks(outlines, old.height, old.width)
