"""Build mmdet's detector from a config, and run it as mmdet does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from solo_bg.core.instances import Instances
from solo_bg.core.results import as_instances
from solo_bg.errors import NotFiniteError, SetupError, ran_out_of_memory
from solo_bg.models import mmcv_ops

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    import mmdet.datasets
    import mmdet.models  # noqa: F401  (fills the registries)
    from mmdet.models.detectors.base import BaseDetector
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

# warnings that change nothing here: torch's, on how mmdet calls it, and mmdet's, on a loss in training
NOTICES = ('torch.meshgrid', 'To copy construct from a tensor', 'Default ``avg_non_ignore``')
BUILD_ERRORS = (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError, ImportError, LookupError)


def build_detector(config: Config) -> Any:
    """The config's model with random weights, on the CPU.

    Raises:
        SetupError: the config builds no detector, or one without masks.
    """
    init_default_scope('mmdet')
    with quiet_model(), explain_errors(config):
        model = MODELS.build(config.model)
    check_gives_masks(model)
    return model


@contextmanager
def explain_errors(config: Config) -> Iterator[None]:
    """Raise SetupError in place of what mmdet raises on a config that it cannot build."""
    try:
        yield
    except SetupError:
        raise
    except BUILD_ERRORS as error:
        name = config.filename or 'given'
        raise SetupError(f'the config {name} builds no detector: {error}; expected one of mmdet 3') from error


def check_gives_masks(model: nn.Module) -> None:
    """Raise SetupError for a model that is no detector, or that has no part for masks."""
    kind = type(model).__name__
    if not isinstance(model, BaseDetector):
        raise SetupError(f'the config builds a {kind}, which is no detector; expected an instance segmenter of mmdet')
    if not any('mask' in name or 'panoptic' in name for name, _ in model.named_modules()):
        raise SetupError(f'{kind} gives boxes but no masks; expected an instance segmenter, such as SOLO or Mask R-CNN')


def find_instances(model: Any, batch: dict[str, list[Any]], class_names: Sequence[str]) -> list[Instances]:
    """Run the model as mmdet does: a batch of prepared images -> one `Instances` for each, best score first.

    Raises:
        NotFiniteError: a score is NaN or infinite.
        SetupError: the model gives no masks of instances.
    """
    found = []
    for sample in model.test_step(batch):
        if 'masks' not in sample.get('pred_instances', ()):
            given = ', '.join(predicted(sample))
            raise SetupError(
                f'{type(model).__name__} gives {given} but no masks of instances; expected a segmenter '
                '(a panoptic one with model.test_cfg.instance_on=True)'
            )
        if not torch.isfinite(sample.pred_instances.scores).all():
            raise NotFiniteError('the scores hold NaN or infinity: broken weights, or a precision that overflows')
        found.append(best_first(as_instances(sample, sample.ori_shape[:2], class_names)))
    return found


def predicted(sample: Any) -> list[str]:
    """What mmdet predicted for an image: `bboxes`, `scores`, `panoptic_seg` ..."""
    names = [name.removeprefix('pred_') for name in sample.keys() if name.startswith('pred_')]  # noqa: SIM118
    return sorted([*sample.get('pred_instances', {}).keys(), *(name for name in names if name != 'instances')])


def best_first(instances: Instances) -> Instances:
    """Sort by score, which not every family of mmdet does (Mask2Former, Mask Scoring R-CNN)."""
    order = instances.scores.argsort(descending=True, stable=True)
    return instances if (order.diff() == 1).all() else instances[order]


@contextmanager
def watch_numbers(model: nn.Module) -> Iterator[None]:
    """Raise NotFiniteError where the neck's or a head's output holds NaN or infinity.

    Most families drop an instance whose score is NaN, so that an image whose numbers overflowed would pass for one
    without instances; others fail in the middle with an error of their own.
    """
    finite: list[Tensor] = []
    hooks = [part.register_forward_hook(lambda *call: note_finite(call[-1], finite)) for part in watched_parts(model)]
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error) and holds_other(finite):
            raise NotFiniteError(f'the model computed NaN or infinity, and then failed: {error}') from error
        raise
    finally:
        for hook in hooks:
            hook.remove()
    if holds_other(finite):
        raise NotFiniteError('the model computed NaN or infinity: broken weights, or a precision that overflows')


def watched_parts(model: nn.Module) -> list[nn.Module]:
    """The neck, or else the backbone, and all heads, also those in lists."""
    parts = [getattr(model, 'neck', None) or model.get_submodule('backbone')]
    for name, module in model.named_modules():
        stage = name.rpartition('.')[2]
        owner = name.rpartition('.')[0] if stage.isdigit() else name
        if owner.endswith('head') and not isinstance(module, nn.ModuleList):
            parts.append(module)
    return parts


def holds_other(finite: list[Tensor]) -> bool:
    """Whether any of the flags is false."""
    return bool(finite) and not torch.stack(finite).all()


def note_finite(output: Any, finite: list[Tensor]) -> None:
    """Append, for each tensor of floats in a module's output, whether all of it is finite. The device is not waited
    for."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            finite.append(output.isfinite().all())
    elif isinstance(output, (list, tuple)):
        for item in output:
            note_finite(item, finite)
    elif isinstance(output, dict):
        note_finite(list(output.values()), finite)


class quiet_model(warnings.catch_warnings):
    """Silence the warnings in `NOTICES`, which are recognised by their texts."""

    def __enter__(self) -> None:
        super().__enter__()
        for text in NOTICES:
            warnings.filterwarnings('ignore', message=text)
