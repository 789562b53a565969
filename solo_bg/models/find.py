"""A model by path or by name -> its config file and its weights, which are downloaded when they are asked for."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg import bundled
from solo_bg.errors import SetupError

if TYPE_CHECKING:
    from solo_bg.models.zoo import Model

log = logging.getLogger('solo_bg')


def checkpoint_folder() -> Path:
    """Where downloaded weights are kept: `checkpoints/` in a clone, else torch's cache (`torch.hub.get_dir`)."""
    if bundled.IN_CLONE:
        return bundled.CLONE / 'checkpoints'
    import torch

    return Path(torch.hub.get_dir()) / 'checkpoints'


def own_device(device: str) -> str:
    """Under torchrun each process of a machine takes a GPU of its own."""
    import torch

    if device not in ('auto', 'cuda') or 'LOCAL_RANK' not in os.environ or not torch.cuda.is_available():
        return device
    return f'cuda:{int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()}'


def find_config(config: str) -> str:
    """The config file for CONFIG: a path as it is, or the config of an mmdet model (see `zoo.find`).

    Where CONFIG is only the beginning of the model's name, the log says which model it became.

    Raises:
        SetupError: mmdet has no model of this name; the message names the nearest ones.
    """
    from solo_bg.models import zoo

    if Path(config).exists() or Path(config).suffix == '.py':
        return config
    model = zoo.find(config)
    if config not in (model.name, model.config.stem):
        log.warning('%s is short for %s', config, model.name)
    return str(model.config)


def find_weights(config: str, checkpoint: str) -> str:
    """The checkpoint file for CHECKPOINT: a path as it is; for `auto` mmdet's weights for CONFIG, downloaded.

    Args:
        config: the name of a model of mmdet's, or the path of one of mmdet's configs.

    Raises:
        SetupError: `auto` was asked for, and mmdet has no weights for CONFIG; or they cannot be downloaded.
    """
    from solo_bg.models import zoo

    if checkpoint != 'auto':
        return checkpoint
    model = zoo.find_exactly(Path(config).stem) if Path(config).is_file() else zoo.find(config)
    if model is None:
        raise SetupError(f'`auto` knows the models of mmdet only, not {config}; give the path of its weights')
    return str(fetch_weights(model))


def fetch_weights(model: Model, folder: Path | None = None) -> Path:
    """A model's weights, downloaded to `folder` (default: `checkpoint_folder()`) unless they are there."""
    if not model.weights:
        raise SetupError(f'mmdet has no weights of {model.name}; give the path of some')
    return fetch_file(model.weights, (folder or checkpoint_folder()) / model.file_name)


def fetch_file(url: str, target: Path) -> Path:
    """Download a file to `target` unless it is there; a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from solo_bg.models.download import download

    if target.exists():
        return target
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(target.name, total=None)
        return download(url, target, lambda there, total: bar.update(task, completed=there, total=total))
