"""A model by path or by name -> its config file and its weights, downloaded where they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg import bundled
from solo_bg.errors import SetupError

if TYPE_CHECKING:
    from solo_bg.models.zoo import Model


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


def find_model(config: str, checkpoint: str) -> tuple[str, str]:
    """CONFIG may be the name of a model of mmdet's; CHECKPOINT may be `auto`, that model's own weights."""
    from solo_bg.models import zoo

    given = Path(config)
    if given.is_file() and checkpoint != 'auto':
        return config, checkpoint
    if not given.is_file() and given.suffix == '.py':
        return config, checkpoint  # the segmenter says what is wrong
    try:
        model = zoo.find(given.stem if given.is_file() else config)
    except SetupError as error:
        if not given.is_file():
            raise
        raise SetupError(
            f'`auto` knows the models of mmdet only, not {config}; give the path of its weights'
        ) from error
    weights = str(fetch_weights(model)) if checkpoint == 'auto' else checkpoint
    return config if given.is_file() else str(model.config), weights


def fetch_weights(model: Model, folder: Path | None = None) -> Path:
    """A model's weights, downloaded to `folder` unless they are there; a progress bar on a terminal.

    Args:
        folder: None: `checkpoint_folder()`.
    """
    import sys

    from rich.console import Console
    from rich.progress import Progress

    from solo_bg.models.download import download

    if not model.weights:
        raise SetupError(f'mmdet has no weights of {model.name}; give the path of some')
    target = (folder or checkpoint_folder()) / model.file_name
    if target.exists():
        return target
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(model.file_name, total=None)
        return download(model.weights, target, lambda there, total: bar.update(task, completed=there, total=total))
