"""Take the background out of pictures with SOLO before a model is trained on them.

`import solo_bg` is light: the names below are resolved on first use. It also makes stock mmdet importable where mmcv's
compiled operators are missing, so it must come before the first import of `mmdet.models`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from solo_bg.models import mmcv_ops

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances, Picture
    from solo_bg.core.results import as_instances
    from solo_bg.draw.compose import eliminate_background
    from solo_bg.draw.show import show_result_ins
    from solo_bg.errors import ImageError, SetupError
    from solo_bg.models.segmenter import Segmenter

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
    'Instances': 'core.instances',
    'Picture': 'core.instances',
    'Segmenter': 'models.segmenter',
    'SetupError': 'errors',
    'as_instances': 'core.results',
    'eliminate_background': 'draw.compose',
    'show_result_ins': 'draw.show',
}

mmcv_ops.install()


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f'module solo_bg has no attribute {name!r}')
    return getattr(import_module(f'solo_bg.{HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
