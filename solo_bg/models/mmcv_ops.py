"""Stands in for mmcv's compiled operators, so that stock mmdet imports and its segmenters run without a compiler.

`install()` appends a finder to `sys.meta_path`. Being last, it is asked for `mmcv._ext` only when no installed
mmcv serves it. mmdet's guarded imports decide once, so this comes before the first import of `mmdet.models`.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from solo_bg.mmdet_needed import mmdet_needed

OPERATORS = {
    'carafe_forward': 'convolutions',
    'deform_conv_forward': 'convolutions',
    'modulated_deform_conv_forward': 'convolutions',
    'ms_deform_attn_forward': 'convolutions',
    'nms': 'boxes',
    'roi_align_backward': 'boxes',
    'roi_align_forward': 'boxes',
    'sigmoid_focal_loss_backward': 'focal_loss',
    'sigmoid_focal_loss_forward': 'focal_loss',
}  # operator -> its module in `solo_bg.models.operators`, imported when mmcv asks, so that `import solo_bg` stays light

EXTENSION = 'mmcv._ext'
# what the forks and, the last one, upstream's mmengine print on import although nothing is wrong
IMPORT_NOTICES = ('Could not import OneDL', 'faster_coco_eval is not installed', 'pkg_resources is deprecated')


def install() -> None:
    """Serve `mmcv._ext` where nobody else does. Imports neither mmcv nor torch; calling it again changes nothing."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


class StandInFinder(MetaPathFinder):
    """The last finder to be asked, hence only for what is missing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return (
            ModuleSpec(fullname, StandInLoader(), origin='solo_bg.models.mmcv_ops') if fullname == EXTENSION else None
        )


class StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: operators are looked up when they are asked for."""


class StandIn(ModuleType):
    """The module `mmcv._ext`: `OPERATORS` by name, and for every other name one that says it is missing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        if name in ('get_compiler_version', 'get_compiling_cuda_version'):
            return lambda: 'n/a'  # as mmcv says without the module
        if name not in OPERATORS:
            return MissingOperator(name)
        return getattr(import_module(f'solo_bg.models.operators.{OPERATORS[name]}'), name)


class MissingOperator:
    """Raises when it is called, not when it is looked up: mmcv looks all of them up on import."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"mmcv's operator '{self.name}' is not compiled here, and solo_bg's stand-in does not provide it. "
            'Install mmcv with its compiled operators: '
            'pip install --force-reinstall --no-deps --no-build-isolation --no-binary onedl-mmcv onedl-mmcv '
            '(needs a C++ compiler and, for CUDA, nvcc; about ten minutes on two cores); beside upstream mmdet, '
            'mmcv in place of mmcv-lite.'
        )


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """While mmdet or a config is imported, drop exactly the lines in `IMPORT_NOTICES` from stdout and the warnings.

    Raises:
        MissingMmdet: mmdet, mmcv or mmengine is not installed.
    """
    held = io.StringIO()
    try:
        with mmdet_needed(), warnings.catch_warnings(), contextlib.redirect_stdout(held):
            for text in IMPORT_NOTICES:
                warnings.filterwarnings('ignore', message=text)
            yield
    finally:
        for line in held.getvalue().splitlines():
            if not any(text in line for text in IMPORT_NOTICES):
                print(line)
