"""Take the background out of images with SOLO before a model is trained on them.

`import solo_bg` is light: the names below are resolved on first use. It also makes stock mmdet importable where mmcv's
compiled operators are missing, so it must come before the first import of `mmdet.models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solo_bg.lookup import load
from solo_bg.models import mmcv_ops
from solo_bg.version import __version__ as __version__

if TYPE_CHECKING:
    from solo_bg.core.detections import to_detections
    from solo_bg.core.instances import Instances
    from solo_bg.core.results import as_instances
    from solo_bg.draw.compose import eliminate_background
    from solo_bg.draw.show import show_result_ins
    from solo_bg.errors import ImageError, SetupError
    from solo_bg.models.segmenter import Segmenter
    from solo_bg.options import Options
    from solo_bg.records import Record
    from solo_bg.runs.from_python import eliminate_folder
    from solo_bg.sources.base import InputImage, Source
    from solo_bg.sources.base import InputImage as Picture


__all__ = [
    'ImageError',
    'InputImage',
    'Instances',
    'Options',
    'Picture',
    'Record',
    'Segmenter',
    'SetupError',
    'Source',
    'as_instances',
    'eliminate_background',
    'eliminate_folder',
    'show_result_ins',
    'to_detections',
]

PUBLIC = {  # public name -> 'module:attribute'
    'ImageError': 'errors:ImageError',
    'InputImage': 'sources.base:InputImage',
    'Instances': 'core.instances:Instances',
    'Options': 'options:Options',
    'Picture': 'sources.base:InputImage',  # its name before 0.2
    'Record': 'records:Record',
    'Segmenter': 'models.segmenter:Segmenter',
    'SetupError': 'errors:SetupError',
    'Source': 'sources.base:Source',
    'as_instances': 'core.results:as_instances',
    'eliminate_background': 'draw.compose:eliminate_background',
    'eliminate_folder': 'runs.from_python:eliminate_folder',
    'show_result_ins': 'draw.show:show_result_ins',
    'to_detections': 'core.detections:to_detections',
}

mmcv_ops.install()


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f'module solo_bg has no attribute {name!r}')
    return load(f'solo_bg.{PUBLIC[name]}')


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
