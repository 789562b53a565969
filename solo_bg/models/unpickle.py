"""Read a checkpoint's pickle as data: nothing in it is run, and no object in it can reach memory that is not its own.

torch's weights-only unpickler calls every function on its list and sets the state of every object whose class is on
it. NumPy's own functions are unsafe there: whoever sets the state of a dtype can turn the bytes of an array into
pointers. Therefore NumPy's names lead to the records below, which check what they are given; `to_plain` puts arrays in
their places when the whole file has been read.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmengine.logging import HistoryBuffer

# NumPy's codes of numbers. Arrays of objects, texts, dates and records of fields are refused
NUMBERS = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
NATIVE = '<' if sys.byteorder == 'little' else '>'
NO_FIELDS = (None, None, None, -1, -1, 0)  # the rest of a number's state: no subarray, names, fields, sizes, flags


class DtypeRecord:
    """Stands for `numpy.dtype` while a pickle is read: one of NumPy's own types of numbers, which nobody can change.

    Attributes:
        dtype: NumPy's type itself, never a copy.
    """

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if code not in NUMBERS:
            raise pickle.UnpicklingError(f'it wants an array of the type {code!r}, which is no number')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Accept what NumPy writes for the type as it is, and nothing else."""
        order = NATIVE if self.dtype.itemsize > 1 else '|'
        if not isinstance(state, tuple) or state[1:] != (order, *NO_FIELDS):
            raise pickle.UnpicklingError(f'it changes the type of an array: {self.dtype} becomes {state}')


class ArrayRecord:
    """Stands for an array while a pickle is read.

    Attributes:
        array: the array, when its state has been read.
    """

    array = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        if not isinstance(kind, DtypeRecord) or not isinstance(data, bytes):
            raise pickle.UnpicklingError('it builds an array of something other than numbers')
        flat = np.frombuffer(bytearray(data), kind.dtype)  # of a bytearray: it can be written to
        self.array = flat.reshape(shape, order='F' if by_columns else 'C')


def allowed_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What a checkpoint may name beyond torch's own list: what mmengine's training writes, and nothing more.

    Each item is a class, or a pair of what to use and the name that leads to it. torch wants a class listed before it
    sets the state of an object; `ArrayRecord` has a name without a dot, which no pickle can have.
    """
    names: list[tuple[Callable[..., Any], str]] = [
        (DtypeRecord, 'numpy.dtype'),
        (ArrayRecord, 'no pickle can name this'),
        (array_by_hand, 'numpy.ndarray'),
        (history_statistic, 'builtins.getattr'),
        (no_bytes, 'builtins.bytes'),
    ]
    for place in ('numpy.core.multiarray', 'numpy._core.multiarray'):  # before NumPy 2 and since
        names += [(empty_array, f'{place}._reconstruct'), (number, f'{place}.scalar')]
    return [HistoryBuffer, *names]


def empty_array(kind: Any, shape: Any, code: Any) -> ArrayRecord:
    """Stands for NumPy's `_reconstruct`, whose arguments are always the same in a pickle that NumPy wrote."""
    return ArrayRecord()


def array_by_hand(*arguments: Any) -> Any:
    """Stands for `numpy.ndarray`, which `_reconstruct` takes as an argument. Only a forged pickle calls it."""
    raise pickle.UnpicklingError('it makes an array of bytes of its own')


def no_bytes() -> bytes:
    """Stands for `bytes`, which a pickle calls without arguments for an array without elements."""
    return b''


def number(kind: DtypeRecord, data: bytes) -> Any:
    """Stands for NumPy's `scalar`."""
    if not isinstance(kind, DtypeRecord) or not isinstance(data, bytes) or len(data) != kind.dtype.itemsize:
        raise pickle.UnpicklingError('it builds a number from something other than bytes')
    return np.frombuffer(data, kind.dtype)[0]


def history_statistic(owner: Any, name: str) -> Any:
    """Stands for `getattr`: gives `HistoryBuffer`'s four statistics and nothing else."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'it wants the attribute {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)


def unpickle(file: Any) -> Any:
    """What a file of `torch.save` holds, tensors on the CPU. Nothing in it is run.

    Args:
        file: its path, or an open binary file.

    Raises:
        pickle.UnpicklingError: the file holds more than data.
        Exception: whatever torch, zipfile and pickle raise on a file that is damaged or something else.
    """
    with torch.serialization.safe_globals(allowed_globals()):
        loaded = torch.load(file, map_location='cpu', weights_only=True)
    return to_plain(loaded, {})


def to_plain(value: Any, seen: dict[int, tuple[Any, Any]]) -> Any:
    """The value with arrays in the places of their records. Lists and dicts are changed where they are.

    Args:
        seen: the identity of each container so far -> the container, kept alive, and what became of it.

    Raises:
        ValueError: it holds a tensor that is sparse, quantised, nested or without data.
    """
    if id(value) in seen:
        return seen[id(value)][1]
    if isinstance(value, ArrayRecord):
        return value.array
    if isinstance(value, DtypeRecord):
        return value.dtype
    if isinstance(value, Tensor) and (kind := special_kind(value)):
        raise ValueError(f'it holds a {kind} tensor; expected dense ones')
    if type(value) is tuple:
        plain = tuple(to_plain(item, seen) for item in value)
        seen[id(value)] = value, plain
        return plain
    if isinstance(value, (list, dict, HistoryBuffer)):
        seen[id(value)] = value, value
    if isinstance(value, list):
        value[:] = [to_plain(item, seen) for item in value]
    if isinstance(value, dict):
        value.update({key: to_plain(item, seen) for key, item in value.items()})
    if isinstance(value, (dict, HistoryBuffer)) and hasattr(value, '__dict__'):  # an OrderedDict has attributes too
        vars(value).update({key: to_plain(item, seen) for key, item in vars(value).items()})
    return value


def special_kind(tensor: Tensor) -> str | None:
    """What makes a tensor unfit for a model's weight, if anything does. Reads none of its values."""
    kinds = {
        'nested': tensor.is_nested,
        'quantised': tensor.is_quantized,
        'meta (without data)': tensor.is_meta,
        'sparse': tensor.layout != torch.strided,
    }
    return next((kind for kind, is_kind in kinds.items() if is_kind), None)
