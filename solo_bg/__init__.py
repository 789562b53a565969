"""Take the background out of pictures with SOLO before a model is trained on them.

`import solo_bg` is light: the names below are resolved on first use. It also makes stock mmdet importable where mmcv's
compiled operators are missing, so it must come before the first import of `mmdet.models`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from solo_bg import mmcv_ops

if TYPE_CHECKING:
    from solo_bg.compose import eliminate_background
    from solo_bg.errors import ImageError, SetupError
    from solo_bg.instances import Instances, Picture
    from solo_bg.results import as_instances
    from solo_bg.segmenter import Segmenter
    from solo_bg.show import show_result_ins

__version__ = '0.1.0'
__all__ = [
    'ImageError',
    'Instances',
    'Picture',
    'Segmenter',
    'SetupError',
    'as_instances',
    'eliminate_background',
    'show_result_ins',
]

HOMES = {
    'ImageError': 'errors',
    'Instances': 'instances',
    'Picture': 'instances',
    'Segmenter': 'segmenter',
    'SetupError': 'errors',
    'as_instances': 'results',
    'eliminate_background': 'compose',
    'show_result_ins': 'show',
}

mmcv_ops.install()


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f'module solo_bg has no attribute {name!r}')
    return getattr(import_module(f'solo_bg.{HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
