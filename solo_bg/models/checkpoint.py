"""Weights: load them as data, never as code, and make sure that they fit."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from solo_bg.errors import SetupError
from solo_bg.models.convert import from_original, is_original
from solo_bg.models.fit import compare, explain

if TYPE_CHECKING:
    from mmengine.config import Config

# what torch, zipfile and pickle raise at a file that is none of theirs
UNREADABLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AssertionError, AttributeError, TypeError,
    SafetensorError, ImportError, MemoryError,
)  # fmt: skip
NO_PICKLE = re.compile('Unsupported operand|invalid load key|truncated|could not find MARK|stack underflow')
WEB_PAGE = re.compile(rb'(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|error)', re.IGNORECASE)
UNSUPPORTED = re.compile(r'(?:Unsupported global: GLOBAL|GLOBAL) ([\w.]+)')  # in torch's message


class Checkpoint(NamedTuple):
    """`state_dict`: name -> tensor on the CPU. `meta`: what training noted beside it, `{}` if nothing. `renamed`:
    whether the weights are the original SOLO repository's, their names converted."""

    state_dict: dict[str, Tensor]
    meta: dict[str, Any]
    renamed: bool = False


def load_checkpoint(path: str | Path, trust: bool = False) -> Checkpoint:
    """Read a checkpoint as data: a file that would run code is refused.

    Beyond torch's own list only what mmengine's training writes is allowed: its `HistoryBuffer` and NumPy's arrays. A
    `.safetensors` file holds weights and nothing else. Weights of the original SOLO repository get mmdet's names.

    Args:
        trust: load whatever is in it, code included.

    Raises:
        SetupError: no such file, not a checkpoint, or one that holds more than data.
    """
    path = Path(path)
    loaded = read_checkpoint(path, trust)
    state_dict = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else None
    if not isinstance(state_dict, Mapping) or not state_dict or not all(map(is_weight, state_dict.items())):
        raise SetupError(f'{path} holds no weights; expected a dict of tensors or one under the key state_dict')
    meta = loaded.get('meta') if 'state_dict' in loaded else None
    plain = {name.removeprefix('module.'): value for name, value in state_dict.items()}
    return Checkpoint(from_original(plain), meta if isinstance(meta, dict) else {}, is_original(plain))


def read_checkpoint(path: Path, trust: bool = False) -> Any:
    """What a checkpoint file holds, tensors on the CPU. Raises SetupError as `load_checkpoint` does."""
    if not path.is_file():
        raise SetupError(f'no checkpoint at {path}; expected the .pth file that belongs to the config')
    refuse_what_is_none(path)
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        with torch.serialization.safe_globals(allowed_globals()):
            return torch.load(path, map_location='cpu', weights_only=not trust)
    except pickle.UnpicklingError as error:
        if NO_PICKLE.search(str(error)):
            raise SetupError(f'{path} is no checkpoint, or not all of one; expected a .pth file') from error
        raise SetupError(
            f'{path} is no checkpoint that can be loaded safely: {wanted(error)}. '
            'If you know who made it, --trust-checkpoint runs what is in it'
        ) from error
    except UNREADABLE as error:
        raise SetupError(f'{path} cannot be read as a checkpoint: {str(error).partition(". ")[0]}') from error


def refuse_what_is_none(path: Path) -> None:
    """Raise SetupError for what downloads leave behind instead of a checkpoint."""
    try:
        with path.open('rb') as file:
            start = file.read(512)
    except OSError as error:
        raise SetupError(f'{path} cannot be read: {error.strerror}') from error
    kinds = {
        'is empty': not start,
        'is a web page, such as a server sends instead of a file that it does not have': WEB_PAGE.match(start),
        'only points to the weights; `git lfs pull` gets them': start.startswith(b'version https://git-lfs'),
    }
    for what, found in kinds.items():
        if found:
            raise SetupError(f'{path} is no checkpoint: it {what}')


def wanted(error: pickle.UnpicklingError) -> str:
    """What a refused file asked for, in a line."""
    said = str(error)
    if found := UNSUPPORTED.search(said):
        return f'it wants {found[1]}'
    return said.rpartition('WeightsUnpickler error:')[2].strip().partition('\n')[0].partition('. ')[0]


def load_safely_everywhere() -> None:
    """Let mmengine's Runner read checkpoints as this module does: by itself it falls back to running what is in them,
    and when it resumes it runs the config that a training noted in `meta`. It starts from the original SOLO's too.

    Addresses are downloaded to torch.hub's folder; what mmengine itself would read from other stores is refused.
    """
    from mmengine.runner import checkpoint as theirs

    from solo_bg.models.download import download

    def load(filename: str, map_location: Any = None) -> Any:
        loaded = read_checkpoint(Path(filename).expanduser())
        if isinstance(loaded, dict) and isinstance(loaded.get('meta'), dict):
            loaded['meta'].pop('config', None)
        weights = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else {}
        plain = {str(name).removeprefix('module.'): value for name, value in weights.items()}
        return {**loaded, 'state_dict': from_original(plain)} if is_original(plain) else loaded

    def fetch(address: str, map_location: Any = None, **options: Any) -> Any:
        name = address.partition('?')[0].rpartition('/')[2]
        return load(str(download(address, Path(torch.hub.get_dir()) / 'checkpoints' / name)))

    def refuse(address: str, map_location: Any = None, **options: Any) -> Any:
        raise SetupError(f'{address} cannot be read safely from here; download it and give its path')

    loaders = {'': load, 'http://': fetch, 'https://': fetch, 'pavi://': refuse, r'(\S+\:)?s3://': refuse}
    for prefix, loader in loaders.items():
        theirs.CheckpointLoader.register_scheme(prefixes=prefix, loader=loader, force=True)
    theirs.load_from_http = fetch  # which the loaders of torchvision://, open-mmlab:// and mmcls:// call


def is_weight(item: tuple[Any, Any]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor)


def allowed_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What a checkpoint of mmengine's may name beyond torch's own list.

    An array is made empty and then told its dtype and bytes, as NumPy pickles it. Called by hand, `ndarray` would take
    any bytes for pointers to objects; so `numpy.ndarray` names a function that only says no, and the class itself is
    listed by a name that no pickle can have, since torch wants it listed before it tells an array anything.
    """
    from mmengine.logging import HistoryBuffer

    dtypes = [type(np.dtype(kind)) for kind in '?bBhHiIlLqQefd']  # of numbers alone
    places = ('numpy.core.multiarray', 'numpy._core.multiarray')  # before numpy 2 and since
    arrays = [(empty_array, f'{place}._reconstruct') for place in places]
    scalars = [(np.float64(0).__reduce__()[0], f'{place}.scalar') for place in places]
    ndarray = [(np.ndarray, 'no pickle can name this'), (array_by_hand, 'numpy.ndarray')]
    return [HistoryBuffer, np.dtype, *dtypes, *ndarray, *arrays, *scalars, (history_statistic, 'builtins.getattr')]


def empty_array(kind: Any, shape: Any, code: Any) -> Any:
    """Stands for numpy's `_reconstruct`, which a pickle calls with other arguments only to do harm."""
    reconstruct: Any = np.array(0).__reduce__()[0]
    return reconstruct(np.ndarray, (0,), b'b')


def array_by_hand(*arguments: Any) -> Any:
    raise pickle.UnpicklingError('it makes an array of bytes of its own')


def history_statistic(owner: Any, name: str) -> Any:
    """Stands for `getattr` while a checkpoint is read: `HistoryBuffer`'s four statistics and nothing else."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'it wants the attribute {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)


def load_weights(model: nn.Module, weights: Checkpoint, path: str | Path, config: Config | None = None) -> None:
    """Put the weights into the model, which `config` describes.

    Raises:
        SetupError: a weight is missing, unknown, of another shape or not finite. The message counts them, names the
            first, and says what to do.
    """
    own, given = model.state_dict(), weights.state_dict
    misfit = compare(own, given)
    if any(misfit):
        raise SetupError(f'{path} does not fit the config: {explain(misfit, own, weights, config)}')
    used = {name: value for name, value in given.items() if name in own}
    broken = [name for name, value in used.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise SetupError(
            f'{path} is broken: {len(broken)} of its weights hold NaN or infinity ({", ".join(broken[:3])})'
        )
    model.load_state_dict(used, strict=False)
