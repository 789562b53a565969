"""A checkpoint file -> its weights and what training noted beside them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from solo_bg.errors import SetupError
from solo_bg.models.convert import from_original, is_original
from solo_bg.models.unpickle import unpickle

# what torch, zipfile and pickle raise on a file that is damaged or no checkpoint
UNREADABLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AssertionError, AttributeError, TypeError,
    SafetensorError, ImportError, MemoryError,
)  # fmt: skip
NO_PICKLE = re.compile('Unsupported operand|invalid load key|truncated|could not find MARK|stack underflow')
WEB_PAGE = re.compile(rb'(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|error)', re.IGNORECASE)
UNSUPPORTED = re.compile(r'(?:Unsupported global: GLOBAL|GLOBAL) ([\w.]+)')  # in torch's message
SUFFIXES = ('.pth', '.pt', '.ckpt', '.safetensors')


class Checkpoint(NamedTuple):
    """The contents of a checkpoint.

    Attributes:
        state_dict: name -> tensor on the CPU.
        meta: what training noted beside the weights; `{}` if nothing.
        renamed: the weights are the original SOLO repository's, with their names converted.
    """

    state_dict: dict[str, Tensor]
    meta: dict[str, Any]
    renamed: bool = False


def load_checkpoint(path: str | Path, trust: bool = False) -> Checkpoint:
    """Read a checkpoint as data; a file that would run code is refused.

    A `.safetensors` file holds weights and nothing else. Weights of the original SOLO repository get mmdet's names.

    Args:
        path: a file that torch or safetensors wrote: a dict of tensors, or one under the key `state_dict`.
        trust: load whatever is in the file, and run the code in it.

    Raises:
        SetupError: there is no such file, it is no checkpoint, or it holds more than data.
    """
    path = Path(path)
    loaded = read_checkpoint(path, trust)
    state_dict = weights_in(loaded)
    if not isinstance(state_dict, Mapping) or not state_dict or not all(map(is_weight, state_dict.items())):
        raise SetupError(f'{path} holds no weights; expected a dict of tensors or one under the key state_dict')
    meta = loaded.get('meta') if 'state_dict' in loaded else None
    named = without_prefix(state_dict)
    return Checkpoint(from_original(named), meta if isinstance(meta, dict) else {}, is_original(named))


def weights_in(loaded: Any) -> Any:
    """The state dict of what a checkpoint file holds; None if it holds no dict."""
    return loaded.get('state_dict', loaded) if isinstance(loaded, dict) else None


def without_prefix(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The weights without the `module.` that torch's DataParallel puts before their names."""
    return {str(name).removeprefix('module.'): value for name, value in state_dict.items()}


def is_weight(item: tuple[Any, Any]) -> bool:
    """Whether an item of a dict is a tensor under a name."""
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor)


def read_checkpoint(path: Path, trust: bool = False) -> Any:
    """What a checkpoint file holds, tensors on the CPU. Raises SetupError as `load_checkpoint` does."""
    refuse_other_files(path)
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        return torch.load(path, map_location='cpu', weights_only=False) if trust else unpickle(path)
    except pickle.UnpicklingError as error:
        if NO_PICKLE.search(str(error)):
            raise SetupError(f'{path} is no checkpoint, or is truncated; expected a .pth file') from error
        raise SetupError(
            f'{path} is no checkpoint that can be loaded safely: {reason_in(error)}. '
            'If you know who made it, --trust-checkpoint loads it and runs the code in it'
        ) from error
    except UNREADABLE as error:
        reason = str(error).partition('. ')[0].partition('\n')[0] or type(error).__name__
        raise SetupError(f'{path} cannot be read as a checkpoint: {reason}') from error


def refuse_other_files(path: Path) -> None:
    """Raise SetupError where the path leads to no file, or to what a failed download leaves behind."""
    if path.is_dir():
        raise SetupError(f'{path} is a folder; expected a checkpoint file{name_checkpoints(path)}')
    if not path.is_file():
        raise SetupError(f'no checkpoint at {path}; expected the .pth file that belongs to the config')
    try:
        with path.open('rb') as file:
            start = file.read(512)
    except OSError as error:
        raise SetupError(f'{path} cannot be read: {error.strerror}') from error
    kinds = {
        'is empty': not start,
        'is a web page, which servers send in place of a missing file': WEB_PAGE.match(start),
        'is a Git LFS pointer; `git lfs pull` downloads the weights': start.startswith(b'version https://git-lfs'),
    }
    for what, found in kinds.items():
        if found:
            raise SetupError(f'{path} is no checkpoint: it {what}')


def name_checkpoints(folder: Path) -> str:
    """Say which checkpoints a folder holds: the last one of a training, else the first three by name."""
    last = folder / 'last_checkpoint'  # mmengine writes the path of the newest checkpoint to this file
    if last.is_file():
        newest = folder / Path(last.read_text(encoding='utf-8', errors='replace').strip()).name
        if newest.is_file():
            return f', such as {newest}, the last one of the training there'
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return f', such as {" or ".join(map(str, found[:3]))}' if found else '; there is none in it'


def reason_in(error: pickle.UnpicklingError) -> str:
    """What a refused file asked for, in one line."""
    said = str(error)
    if found := UNSUPPORTED.search(said):
        return f'it wants {found[1]}'
    return said.rpartition('WeightsUnpickler error:')[2].strip().partition('\n')[0].partition('. ')[0]
