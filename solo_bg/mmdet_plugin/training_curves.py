"""Draw the losses and metrics of a training as curves."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

Curves = dict[str, list[tuple[int, float]]]  # 'train/loss' -> (epoch or iteration, value)


@HOOKS.register_module()
class TrainingCurves(Hook):
    """Draw losses and metrics of training and validation into the work folder: `curves.png`, and `curves.json`.

    It adds a point after each epoch, or after every `interval` iterations where training has no epochs, and after each
    validation. A point of training is the mean since the last one. A resumed training continues its curves. Under
    torchrun the curves show the losses of the first process.

    The validation loss costs one more forward pass for each validation image. It needs annotations that were resized
    with the image: put `LoadAnnotations` before `Resize` in the validation pipeline. Otherwise it is left out.

    Args:
        interval: iterations.
        val_loss: compute the validation loss.
    """

    priority = 'VERY_LOW'  # after the hooks that compute and save

    def __init__(self, interval: int = 50, val_loss: bool = True) -> None:
        self.interval = interval
        self.val_loss = val_loss
        self.curves: Curves = {}
        self.sums: dict[str, list[torch.Tensor]] = defaultdict(list)

    def before_train(self, runner: Runner) -> None:
        path = Path(runner.work_dir) / 'curves.json'
        if runner.iter and path.is_file():  # resumed
            done = position(runner)
            known = json.loads(path.read_text())
            self.curves = {name: [(x, y) for x, y in points if x <= done] for name, points in known.items()}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        self.collect('train', outputs or {})
        if not has_epochs(runner) and self.every_n_train_iters(runner, self.interval):
            self.finish(runner, 'train', runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        if has_epochs(runner):
            self.finish(runner, 'train', runner.epoch + 1)

    def after_train(self, runner: Runner) -> None:
        self.draw(runner)

    @torch.no_grad()
    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        if not self.val_loss or not all(annotated_at_its_size(sample) for sample in data_batch['data_samples']):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        losses = model(**model.data_preprocessor(data_batch, True), mode='loss')
        self.collect('val', model.parse_losses(losses)[1])

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        at = position(runner)
        for name, value in (metrics or {}).items():
            self.add(f'val/{name}', at, float(value))
        self.finish(runner, 'val', at)

    def collect(self, part: str, values: Mapping[str, Any]) -> None:
        """Note the total loss and whatever else a model reports of a batch that is not a part of the loss."""
        for name, value in values.items():
            if name == 'loss' or 'loss' not in name:
                self.sums[f'{part}/{name}'].append(torch.as_tensor(value).detach())

    def finish(self, runner: Runner, part: str, at: int) -> None:
        """Add the mean of what was collected of a part as a point, and draw."""
        for name in [name for name in self.sums if name.startswith(f'{part}/')]:
            values = self.sums.pop(name)
            self.add(name, at, float(torch.stack(values).float().mean()))
        self.draw(runner)

    def add(self, name: str, at: int, value: float) -> None:
        points = self.curves.setdefault(name, [])
        if math.isfinite(value):
            points.append((at, value))

    def draw(self, runner: Runner) -> None:
        if runner.rank or not any(self.curves.values()):
            return
        folder = Path(runner.work_dir)
        (folder / 'curves.json').write_text(json.dumps(self.curves, indent=1))
        picture = folder / 'curves.png'
        partial = picture.with_suffix('.partial.png')
        draw_curves(self.curves, 'epoch' if has_epochs(runner) else 'iteration').savefig(partial, dpi=100)
        partial.replace(picture)


def has_epochs(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def position(runner: Runner) -> int:
    """Epochs that are done, or iterations where training has no epochs."""
    return int(runner.epoch if has_epochs(runner) else runner.iter)


def annotated_at_its_size(sample: Any) -> bool:
    """Whether an image's annotated masks have the size of the image that the model gets."""
    masks = sample.gt_instances.get('masks') if 'gt_instances' in sample else None
    return masks is not None and (masks.height, masks.width) == tuple(sample.img_shape[:2])


def draw_curves(curves: Curves, unit: str) -> Figure:
    """Losses on the left, everything else on the right; training dashed, validation solid."""
    figure = Figure(figsize=(11, 4), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, title in zip(figure.subplots(1, 2), ('loss', 'metrics'), strict=True):
        for name, points in curves.items():
            if points and ('loss' in name) == (title == 'loss'):
                line = '--' if name.startswith('train/') else '-'
                axes.plot(*zip(*points, strict=True), line, marker='.', label=name)
        axes.set(title=title, xlabel=unit)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize='small')
    return figure
