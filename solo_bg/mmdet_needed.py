"""What to say where mmdet is missing. It is no dependency of the package, so that `pip install` overwrites none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from solo_bg.errors import SetupError

STACK = ('mmdet', 'mmcv', 'mmengine')
FORKS = 'pip install "solo_bg[onedl]"'
UPSTREAM = 'pip install mmdet==3.3.0 mmcv-lite==2.1.0 mmengine==0.10.7 "setuptools<81"'


class MissingMmdet(SetupError, ImportError):
    """mmdet, or one of the two libraries that it is built on, is not installed."""


@contextmanager
def mmdet_needed() -> Iterator[None]:
    """Around imports of mmdet, mmcv or mmengine: where one is not installed, say how to install them.

    Raises:
        MissingMmdet: one of the three is not installed, or pkg_resources, which mmengine 0.10.7 imports when it reads a
            config. Any other module that is missing stays a ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or '').partition('.')[0]
        if missing == 'pkg_resources':
            raise MissingMmdet(
                'this mmengine imports pkg_resources, which new setuptools lack; pip install "setuptools<81"'
            ) from error
        if missing not in STACK:
            raise
        raise MissingMmdet(
            f'{missing} is not installed, and mmdet models need it. Install mmdet with one of: '
            f'{FORKS} (its maintained forks), or {UPSTREAM} (upstream)'
        ) from error
