"""Read a config file, as mmengine reads it, and take the test pipeline from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_bg.errors import SetupError
from solo_bg.models import mmcv_ops, own_config
from solo_bg.models.cfg_options import merge_options
from solo_bg.models.checkpoint import SUFFIXES, load_checkpoint
from solo_bg.models.find import find_config

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.config import Config, ConfigDict


def choose_config(
    config: str | Path | Config,
    checkpoint: str | Path,
    cfg_options: Mapping[str, Any] | Sequence[str] | str | None,
    trust_checkpoint: bool = False,
) -> Config:
    """The config that CONFIG stands for, with its overrides. Arguments and errors are those of `Segmenter`."""
    if isinstance(config, Config):
        return load_config(config, cfg_options)
    check_order(config, checkpoint)
    if str(config) == 'auto':
        meta = load_checkpoint(checkpoint, trust_checkpoint).meta
        return load_config(own_config.config_in(meta, checkpoint), cfg_options)
    try:
        return load_config(find_config(str(config)), cfg_options)
    except SetupError as error:
        if Path(config).exists():
            raise
        raise SetupError(f'{error}{own_config.offer(checkpoint)}') from error


def name_of(config: str | Path | Config) -> str:
    """The name or path of a config, which mmdet's published weights are found by."""
    return str(config.filename or 'a Config') if isinstance(config, Config) else str(config)


def load_config(
    config: str | Path | Config,
    cfg_options: Mapping[str, Any] | Sequence[str] | str | None,
    needs: str = 'test_dataloader',
) -> Config:
    """Read a config file, apply the overrides, and make sure that it describes a model and its data.

    Args:
        config: a file, which is Python code and is run; or a `Config`, which is not changed.
        cfg_options: overrides, as `merge_options` takes them.
        needs: the key for the data: `test_dataloader` or `train_dataloader`.

    Raises:
        SetupError: there is no such file, it cannot be read, an override does not fit, or a key is missing.
    """
    if not isinstance(config, Config):
        config = read_file(Path(config))
    config = copy.deepcopy(config)
    merge_options(config, cfg_options)
    for key in ('model', needs):
        if not isinstance(config.get(key), Mapping):
            raise SetupError(f'the config {config.filename or ""} has no `{key}`; expected a config of an mmdet model')
    return config


def keep_proposals(config: Config) -> None:
    """Change a config so that its model keeps the best 1000 masks, whatever their scores.

    Raises:
        SetupError: the model's `test_cfg` has no `max_per_img`.
    """
    wanted = {'score_thr': 0.0, 'nms_pre': 1000, 'max_per_img': 1000, 'filter_thr': -1}
    if config.model.test_cfg.get('nms_pre', 0) > 1000:  # candidates, of which NMS leaves fewer
        del wanted['nms_pre']
    settings = config.model.test_cfg
    settings = settings.get('rcnn') or settings
    if 'max_per_img' not in settings:
        raise SetupError(f'cannot raise max_per_img to 1000: the test_cfg of {config.model.type} has none')
    settings.update({name: value for name, value in wanted.items() if name in settings})


def read_file(path: Path) -> Config:
    """Run a config file. Raises SetupError where there is none, or where it fails."""
    if path.is_dir():
        raise SetupError(f'{path} is a folder; expected a config file such as configs/solo_bg_tiny.py')
    if not path.is_file():
        raise SetupError(f'no config at {path}; expected a file such as configs/solo_bg_tiny.py')
    try:
        with mmcv_ops.quiet_imports():  # upstream's mmengine imports pkg_resources to find `mmdet::`
            return Config.fromfile(path)
    except Exception as error:  # a config is somebody's code and may raise anything
        raise SetupError(f'the config {path} cannot be read: {type(error).__name__}: {error}') from error


def check_order(config: Any, checkpoint: Any) -> None:
    """Raise SetupError where the config and the checkpoint were given in the wrong order."""
    if str(config).endswith(SUFFIXES) and not str(checkpoint).endswith(SUFFIXES):
        raise SetupError(
            f'CONFIG and CHECKPOINT seem to be swapped: got {config} as CONFIG and {checkpoint} as CHECKPOINT; '
            'the config comes first'
        )


def array_pipeline(config: Config) -> list[ConfigDict]:
    """The config's test pipeline, changed to take an array in place of a file and to load no annotations.

    The loading step keeps its options: with `to_float32`, the resized image is not rounded.
    """
    try:
        first, *steps = copy.deepcopy(get_test_pipeline_cfg(config))
    except (RuntimeError, AttributeError, TypeError, ValueError, LookupError) as error:
        raise SetupError(
            f'the config {config.filename or ""} names no test pipeline: {error}; expected a list of steps under '
            'test_dataloader.dataset.pipeline'
        ) from error
    first.type = 'mmdet.LoadImageFromNDArray'
    return [first, *(step for step in steps if not loads_annotations(step))]


def loads_annotations(step: Mapping[str, Any]) -> bool:
    name = getattr(step['type'], '__name__', str(step['type'])).rpartition('.')[2]
    return name.startswith('Load') and name.endswith('Annotations')


def canonical(config: Mapping[str, Any]) -> str:
    """The config's values as JSON. Equal configs give equal texts, however they were written down."""
    return json.dumps(simplify(config), sort_keys=True)


def simplify(value: Any) -> Any:
    """A config's value as JSON can hold it. Classes and functions become their names."""
    if isinstance(value, Mapping):
        return {str(key): simplify(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [simplify(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(simplify(item), sort_keys=True) for item in value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    if hasattr(value, 'tolist'):  # NumPy's and torch's
        return simplify(value.tolist())
    return str(value)
