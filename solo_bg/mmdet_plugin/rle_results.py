"""mmdet's pickles and pictures of test results, also for models whose masks are a list of COCO's RLEs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.engine.hooks import DetVisualizationHook
from mmdet.evaluation import DumpDetResults
from mmdet.registry import HOOKS, METRICS
from mmdet.structures import DetDataSample

from solo_bg.core.results import as_instances


@METRICS.register_module()
class DumpInstances(DumpDetResults):
    """mmdet's `DumpDetResults`, which turns dense masks into RLEs. Masks that are RLEs are written as they are, with
    `counts` as bytes, which mmdet's have too."""

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        for sample in data_samples:
            found = sample.get('pred_instances', {})
            codes = found.get('masks')
            if not isinstance(codes, list):
                super().process(data_batch, [sample])
                continue
            others = {name: value for name, value in found.items() if name != 'masks'}
            super().process(data_batch, [{**sample, 'pred_instances': others}])
            self.results[-1]['pred_instances']['masks'] = [with_bytes(code) for code in codes]


def with_bytes(code: dict[str, Any]) -> dict[str, Any]:
    counts = code['counts']
    return {**code, 'counts': counts.encode() if isinstance(counts, str) else counts}


@HOOKS.register_module()
class ShowInstances(DetVisualizationHook):
    """mmdet's `DetVisualizationHook`, which draws dense masks. RLEs are decoded for it, those that it draws only."""

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any, outputs: Sequence[DetDataSample]) -> None:
        dense = [with_dense_masks(sample, self.score_thr) for sample in outputs]
        super().after_test_iter(runner, batch_idx, data_batch, dense)


def with_dense_masks(sample: DetDataSample, score_thr: float) -> DetDataSample:
    """The sample itself, or a copy where its masks are RLEs: with dense masks, bool (n, H, W), of the instances that
    score higher than `score_thr`."""
    found = sample.pred_instances
    if not isinstance(found.get('masks'), list):
        return sample
    shown = found[found.scores > score_thr]
    shown.masks = as_instances(shown, sample.ori_shape[:2]).masks.cpu()
    copy: DetDataSample = sample.new()
    copy.pred_instances = shown
    return copy
