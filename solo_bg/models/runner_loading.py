"""Let mmengine's Runner load checkpoints as `checkpoint.read_checkpoint` does."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from solo_bg.errors import SetupError
from solo_bg.models.checkpoint import UNREADABLE, read_checkpoint, weights_in, without_prefix
from solo_bg.models.convert import from_original, is_original
from solo_bg.models.download import download
from solo_bg.models.unpickle import unpickle

# mmengine's schemes that look an address up in a list and then call `load_from_http`, which is replaced below
LOOKED_UP = ('torchvision://', 'modelzoo://', 'open-mmlab://', 'openmmlab://', 'mmcls://')


def load_safely_everywhere() -> None:
    """Replace mmengine's loaders for the rest of the process.

    mmengine runs what is in a checkpoint where it cannot be read as data, and when it resumes it runs the config in
    `meta`. From here on it reads files as data, downloads http and https addresses to torch.hub's folder and reads
    them as data, and refuses every other address. Weights of the original SOLO repository get mmdet's names.
    """
    from mmengine.runner import checkpoint as mmengines

    loaders: dict[str, Callable[..., Any]] = {
        scheme: refuse for scheme in mmengines.CheckpointLoader._schemes if scheme not in LOOKED_UP
    }
    loaders |= {'': load, 'http://': fetch, 'https://': fetch}
    for scheme, loader in loaders.items():
        mmengines.CheckpointLoader.register_scheme(prefixes=scheme, loader=loader, force=True)
    mmengines.load_from_http = fetch
    mmengines._safe_torch_load = read_anything  # of the fork, for what its loaders still read by themselves


def load(filename: str, map_location: Any = None) -> Any:
    """What a checkpoint file holds, without the config that mmengine would run."""
    loaded = read_checkpoint(Path(filename).expanduser())
    if isinstance(loaded, dict) and isinstance(loaded.get('meta'), dict):
        loaded['meta'].pop('config', None)
    weights = weights_in(loaded)
    named = without_prefix(weights) if isinstance(weights, Mapping) else {}
    return {**loaded, 'state_dict': from_original(named)} if is_original(named) else loaded


def fetch(address: str, map_location: Any = None, **options: Any) -> Any:
    """What a checkpoint at an address holds."""
    name = address.partition('?')[0].rpartition('/')[2]
    return load(str(download(address, Path(torch.hub.get_dir()) / 'checkpoints' / name)))


def refuse(address: str, map_location: Any = None, **options: Any) -> Any:
    raise SetupError(f'{address} cannot be read safely from here; download it and give its path')


def read_anything(file: Any, map_location: Any = None, weights_only: Any = None) -> Any:
    """What a path or an open file holds."""
    if isinstance(file, (str, Path)):
        return load(str(file))
    try:
        return unpickle(file)
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        raise SetupError(f'the checkpoint cannot be read: {error}') from error
