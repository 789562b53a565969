"""Stands in for mmcv's compiled operators, so that stock mmdet imports and SOLO runs without a compiler.

`install()` appends a finder to `sys.meta_path`. Being last, it is asked for `mmcv._ext` only when no installed
mmcv serves it. mmdet's guarded imports decide once, so this comes before the first import of `mmdet.models`.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from torch import Tensor

EXTENSION = 'mmcv._ext'
NOISE = ('Could not import OneDL', 'faster_coco_eval is not installed')  # of the forks, at import; nothing is wrong


def install() -> None:
    """Serve `mmcv._ext` where nobody else does. Imports neither mmcv nor torch; calling it again changes nothing."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


class StandInFinder(MetaPathFinder):
    """The last finder to be asked, hence only for what is missing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, StandInLoader(), origin='solo_bg.mmcv_ops') if fullname == EXTENSION else None


class StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: operators are looked up when they are asked for."""


class StandIn(ModuleType):
    """The module `mmcv._ext`: the operators below by name, and for every other name one that says it is missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        return OPERATORS.get(name) or MissingOperator(name)


class MissingOperator:
    """Raises when it is called, not when it is looked up: mmcv looks all of them up on import."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"mmcv's operator '{self.name}' is not compiled here, and solo_bg's stand-in does not provide it. "
            'Install mmcv with its compiled operators: '
            'pip install --force-reinstall --no-deps --no-build-isolation --no-binary onedl-mmcv onedl-mmcv '
            '(needs a C++ compiler and, for CUDA, nvcc; about ten minutes on two cores).'
        )


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, eq. 5) of sigmoid scores, each class on its own, written into `output`.

    Args:
        input: logits, float (N, C).
        target: int64 (N,); C (or any number outside 0..C-1) is background.
        weight: per-class weight (C,), or empty for none; background rows then take the weight 1.
        output: float (N, C), overwritten.
    """
    is_class, log_p, log_not_p = _focal_terms(input, target)
    p = input.float().sigmoid()
    positive = -alpha * (1 - p) ** gamma * log_p
    negative = -(1 - alpha) * p**gamma * log_not_p
    output.copy_(positive.where(is_class, negative) * _row_weight(target, weight, input.shape[1]))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of `sigmoid_focal_loss_forward` by `input`, written into `grad_input` (N, C)."""
    is_class, log_p, log_not_p = _focal_terms(input, target)
    p = input.float().sigmoid()
    positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * log_p)
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * log_not_p - p)
    grad_input.copy_(positive.where(is_class, negative) * _row_weight(target, weight, input.shape[1]))


def _focal_terms(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bool (N, C): the target's class; log p and log(1 - p), float32 (N, C)."""
    import torch
    import torch.nn.functional as F

    is_class = target[:, None] == torch.arange(input.shape[1], device=input.device)
    logits = input.float()
    return is_class, F.logsigmoid(logits), F.logsigmoid(-logits)


def _row_weight(target: Tensor, weight: Tensor, num_classes: int) -> Tensor:
    if weight.numel() == 0:
        return weight.new_ones(1, 1)
    foreground = (target >= 0) & (target < num_classes)
    return weight[target.clamp(0, num_classes - 1)].where(foreground, weight.new_ones(()))[:, None]


OPERATORS = {
    'sigmoid_focal_loss_forward': sigmoid_focal_loss_forward,
    'sigmoid_focal_loss_backward': sigmoid_focal_loss_backward,
}


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """While mmdet is being imported, drop exactly the lines in `NOISE` from stdout and from the warnings."""
    held = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(held):
            for text in NOISE:
                warnings.filterwarnings('ignore', message=text)
            yield
    finally:
        for line in held.getvalue().splitlines():
            if not any(text in line for text in NOISE):
                print(line)
