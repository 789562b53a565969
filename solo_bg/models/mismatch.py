"""Whether weights fit a model; if not, why, and what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from mmengine.config import Config

# Weights that prediction never uses: the counter of batches, mmdet 2's moving averages, colour statistics that mmengine
# saved in 2022, YOLACT's training branch (mmdet 2's and 3's names)
HARMLESS = re.compile(
    r'(?:.+\.)?num_batches_tracked|ema_\w+|steps|data_preprocessor\.(?:mean|std)|segm_head\..+'
    r'|mask_head\.segm_branch\..+'
)
SETTINGS = ('num_classes', 'num_things_classes')
OTHER_CLASSES = ('backbone', 'rpn_head', 'semantic_head')  # parts whose classes are not the detector's


class Misfit(NamedTuple):
    """Names of weights that do not fit.

    Attributes:
        missing: the model has them and the checkpoint does not.
        unknown: the checkpoint has them and the model does not.
        misshapen: both have them, in different shapes.
    """

    missing: list[str]
    unknown: list[str]
    misshapen: list[str]

    def __str__(self) -> str:
        said = zip(('missing', 'not in the model', 'of another shape'), self, strict=True)
        return '; '.join(f'{len(names)} {how} ({", ".join(names[:3])})' for how, names in said if names)


def compare(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Misfit:
    """Compare a model's own weights with given ones. The three lists are empty if they fit."""
    return Misfit(
        [name for name in own if name not in given and not HARMLESS.fullmatch(name)],
        [name for name in given if name not in own and not HARMLESS.fullmatch(name)],
        [name for name in own if name in given and own[name].shape != given[name].shape],
    )


def class_settings(node: Any, at: str = 'model') -> dict[str, int]:
    """Where a model's config says how many classes it has: dotted path -> number."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    found = {}
    for key, value in items:
        if key in SETTINGS and isinstance(value, int) and value > 0:
            found[f'{at}.{key}'] = value
        elif key not in OTHER_CLASSES:
            found |= class_settings(value, f'{at}.{key}')
    return found


def class_overrides(
    config: Config, own: Mapping[str, Tensor], given: Mapping[str, Tensor], misfit: Misfit
) -> dict[str, int] | None:
    """The overrides that give the config the checkpoint's number of classes; None if they differ in more than that."""
    settings = class_settings(config.model)
    if len(set(settings.values())) != 1 or misfit.missing or misfit.unknown:
        return None
    count = infer_classes(own, given, misfit.misshapen, next(iter(settings.values())))
    return dict.fromkeys(settings, count) if count else None


def infer_classes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], names: list[str], ours: int) -> int | None:
    """How many classes the given weights have, if that alone makes `names` differ from a model of `ours` classes.

    A layer of a head has k outputs for each class, and counts the background as a class or not; k is not known.
    """
    possible: set[int] | None = None
    for name in names:
        (here, *rest), (there, *others) = own[name].shape or (0,), given[name].shape or (0,)
        per_class = {more: here // (ours + more) for more in (0, 1) if here % (ours + more) == 0}
        counts = {there // k - more for more, k in per_class.items() if k and there % k == 0}
        possible = counts if possible is None else possible & counts
        if rest != others:
            return None
    return possible.pop() if possible and len(possible) == 1 and any('cls' in name for name in names) else None


def as_options(overrides: Mapping[str, Any]) -> str:
    """Overrides as one would type them."""
    values = (f'{name}={value}'.replace(' ', '') for name, value in overrides.items())
    return f'--cfg-options {" ".join(map(shlex.quote, values))}'
