"""A config file, as mmengine reads it, and what a segmenter wants to know of it."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solo_bg.errors import SetupError
from solo_bg.models import mmcv_ops

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    from mmdet.registry import DATASETS
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.config import Config, ConfigDict, DictAction

LAZY_HEADS = {name: f'Lazy{name}' for name in ('SOLOHead', 'DecoupledSOLOHead', 'DecoupledSOLOLightHead')}


def load_config(
    config: str | Path | Config, cfg_options: Mapping[str, Any] | None, needs: str = 'test_dataloader'
) -> Config:
    """Read a config file, apply the overrides, and make sure that it is of a model with a test pipeline."""
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise SetupError(f'no config at {config}; expected a file such as configs/solo_bg_tiny.py')
        try:
            with mmcv_ops.quiet_imports():  # upstream's mmengine imports pkg_resources to find `mmdet::`
                config = Config.fromfile(config)
        except Exception as error:  # a config is somebody's Python: whatever it raises is its own mistake
            raise SetupError(f'the config {config} cannot be read: {type(error).__name__}: {error}') from error
    config = copy.deepcopy(config)  # the caller's stays as it is
    try:
        config.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise SetupError(f'the config takes no such overrides: {error}; got {dict(cfg_options or {})}') from error
    for key in ('model', needs):
        if not config.get(key):
            raise SetupError(f'the config {config.filename or ""} has no `{key}`; expected a config of an mmdet model')
    return config


def parse_cfg_options(given: Mapping[str, Any] | Sequence[str] | None) -> Mapping[str, Any]:
    """`KEY=VALUE` texts, as `--cfg-options` takes them, as a dict; a dict as it is."""
    if given is None or isinstance(given, Mapping):
        return given or {}
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=DictAction, default={})
    try:
        return parser.parse_args(['--cfg-options', *given]).cfg_options
    except (AssertionError, ValueError) as error:
        raise SetupError(f'--cfg-options {" ".join(given)} cannot be read: {error}') from error


def array_pipeline(config: Config) -> list[ConfigDict]:
    """The config's test pipeline, taking an array where it took a file, and no annotations.

    The loading step keeps its options: where it has `to_float32`, what is resized is not rounded.
    """
    first, *steps = copy.deepcopy(get_test_pipeline_cfg(config))
    first.type = 'mmdet.LoadImageFromNDArray'
    return [first, *(step for step in steps if not loads_annotations(step))]


def loads_annotations(step: Mapping[str, Any]) -> bool:
    name = getattr(step['type'], '__name__', str(step['type'])).rpartition('.')[2]
    return name.startswith('Load') and name.endswith('Annotations')


def choose_head(config: Config, lazy: bool) -> bool:
    """Name our head in the config where it names one of mmdet's SOLO heads, or the reverse; whether it is ours."""
    head = config.model.get('mask_head') or ConfigDict()
    name = getattr(head.get('type'), '__name__', str(head.get('type'))).removeprefix('mmdet.')
    names = LAZY_HEADS if lazy else {ours: theirs for theirs, ours in LAZY_HEADS.items()}
    if name in names:
        head.type = names[name]
    return lazy and (name in names or name in names.values())


def find_class_names(meta: Mapping[str, Any], config: Config, count: int | None) -> tuple[str, ...]:
    """Class names from the checkpoint, else from the config's data set; () if there are none of the right number."""
    dataset = config.test_dataloader.dataset
    while 'dataset' in dataset:  # wrapped in another
        dataset = dataset.dataset
    known_type = DATASETS.get(dataset.get('type', ''))
    noted = meta.get('dataset_meta') or {}
    sources = [
        {key.lower(): value for key, value in noted.items()}.get('classes'),
        meta.get('CLASSES'),
        (dataset.get('metainfo') or {}).get('classes'),
        getattr(known_type, 'METAINFO', {}).get('classes'),
    ]
    for names in sources:
        names = (names,) if isinstance(names, str) else tuple(names or ())  # classes=('one') is a string
        if names and count in (None, len(names)):
            return tuple(map(str, names))
    return ()
