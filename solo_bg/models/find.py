"""A model by path or by name -> its config file and its weights, downloaded where they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.errors import SetupError

if TYPE_CHECKING:
    from solo_bg.models.zoo import Model

CLONE = Path(__file__).resolve().parents[2]
CHECKPOINTS = CLONE / 'checkpoints' if (CLONE / 'checkpoints').is_dir() else Path('checkpoints')


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


def fetch_weights(model: Model, folder: Path = CHECKPOINTS) -> Path:
    """A model's weights, downloaded to `folder` unless they are there."""
    if not model.weights:
        raise SetupError(f'mmdet has no weights of {model.name}; give the path of some')
    return fetch_file(model.weights, folder / model.file_name)


def fetch_file(url: str, target: Path) -> Path:
    """Download a file to `target` unless it is there; a progress bar on a terminal."""
    import sys

    from rich.console import Console
    from rich.progress import Progress

    from solo_bg.models.download import download

    if target.exists():
        return target
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(target.name, total=None)
        return download(url, target, lambda there, total: bar.update(task, completed=there, total=total))
