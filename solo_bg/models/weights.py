"""Put a checkpoint's weights into a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from solo_bg.errors import SetupError
from solo_bg.models.checkpoint import Checkpoint
from solo_bg.models.mismatch import Misfit, as_options, class_overrides, class_settings, compare
from solo_bg.models.suggest import fitting_config
from solo_bg.models.unpickle import special_kind

if TYPE_CHECKING:
    from mmengine.config import Config

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def load_weights(model: nn.Module, weights: Checkpoint, path: str | Path, config: Config | None = None) -> None:
    """Put the weights into the model.

    Args:
        path: where the weights came from, for messages.
        config: the model's config, if it is known; then the message says how to fit it to the weights.

    Raises:
        SetupError: a weight is missing, unknown, of another shape or type, or not finite. The message counts such
            weights, names the first ones, and says what to do.
    """
    own, given = model.state_dict(), weights.state_dict
    misfit = compare(own, given)
    if any(misfit):
        raise SetupError(f'{path} does not fit the config: {explain(misfit, own, weights, config)}')
    used = {name: value for name, value in given.items() if name in own}
    check_numbers(used, own, path)
    model.load_state_dict(used, strict=False)


def check_numbers(used: Mapping[str, Tensor], own: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise SetupError for weights of a kind that the model cannot compute with, or that are not finite."""
    odd = {name: kind_of(value) for name, value in used.items() if not is_like(value, own[name])}
    if odd:
        name, kind = next(iter(odd.items()))
        raise SetupError(
            f'{path} cannot be used: {len(odd)} of its weights have a type that the model does not take, '
            f'such as {name}, which is {kind}; expected dense float32, float16, bfloat16 or float64'
        )
    broken = [name for name, value in used.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise SetupError(
            f'{path} is broken: {len(broken)} of its weights hold NaN or infinity ({", ".join(broken[:3])})'
        )


def is_like(value: Tensor, own: Tensor) -> bool:
    """Whether a weight can take the place of the model's own: floating point for floating point, else whole numbers."""
    if special_kind(value):
        return False
    if own.is_floating_point():
        return value.dtype in FLOATS
    return value.dtype in FLOATS or not (value.is_floating_point() or value.is_complex())


def kind_of(value: Tensor) -> str:
    return special_kind(value) or str(value.dtype).removeprefix('torch.')


def explain(misfit: Misfit, own: Mapping[str, Tensor], given: Checkpoint, config: Config | None) -> str:
    """Why the weights do not fit, and what to do. `config` is the model's, if it is known."""
    overrides = class_overrides(config, own, given.state_dict, misfit) if config else None
    if config and overrides:
        theirs, ours = next(iter(overrides.values())), next(iter(class_settings(config.model).values()))
        return f'it has {theirs} classes, the config {ours}. If that is intended, add {as_options(overrides)}'
    advice = fitting_config(given.state_dict)
    hints = [f'They fit {advice}' if advice else 'Give the config they were trained with']
    if given.meta.get('cfg'):
        hints.append('The checkpoint carries the config that it was trained with: give auto as CONFIG to use it')
    if given.renamed:
        hints.append("They are the original SOLO's, under mmdet's names (as tools/convert_checkpoint.py gives them)")
    elif str(given.meta.get('mmdet_version')).startswith('2.'):
        hints.append('mmdet 2 wrote them, and mmdet 3 has other names for the layers of some models')
    return f'of {len(own)} weights {misfit}. {". ".join(hints)}'
