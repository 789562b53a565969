"""Checkpoints that do harm to a reader that trusts them, and checkpoints with tensors of odd kinds."""

import os
import warnings

import numpy as np
import torch

RECONSTRUCT, SCALAR = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
POINTERS = b'\x10' * 16  # two addresses, where there is an array of objects


class Hostile:
    """Pickles as a call that makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Forged:
    """Pickles as a call of `function` with `arguments`, and then a state that is set on what the call gave."""

    def __init__(self, function, arguments, *state):
        self.reduced = function, arguments, *state

    def __reduce__(self):
        return self.reduced


def array_of(kind, data=POINTERS, shape=(2,)):
    """As NumPy pickles an array."""
    return Forged(RECONSTRUCT, (np.ndarray, (0,), b'b'), (1, shape, kind, False, data))


def dtype_with(state, code='f8'):
    """As NumPy pickles a dtype, with another state."""
    return Forged(np.dtype, (code, False, True), state)


def object_fields():
    """The state of a dtype with a field of objects, that is, of pointers."""
    flags = 1  # counts references, and yet its array is pickled as bytes
    return 3, '|', None, ('a',), {'a': (Forged(np.dtype, ('O',)), 0)}, 8, 1, flags


def arrays():
    """name -> something that pickles as an array or a number that nobody should get."""
    deep = Forged(np.dtype, ('O8', False, True), (3, '|', None, None, None, -1, -1, 63))
    return {
        'a copy of float64 becomes a record of objects': array_of(dtype_with(object_fields())),
        'float64 itself becomes a record of objects': array_of(Forged(np.dtype, ('f8',), object_fields())),
        'fields of numbers': array_of(dtype_with((3, '|', None, ('a',), {'a': (np.dtype('f8'), 0)}, 8, 1, 0))),
        'objects': array_of(deep),
        'objects by their letter': array_of(Forged(np.dtype, ('O',))),
        'texts': array_of(dtype_with((3, '<', None, None, None, 16, 4, 8), 'U4')),
        'dates': array_of(Forged(np.dtype, ('M8[s]',))),
        'the other byte order': array_of(dtype_with((3, '>', None, None, None, -1, -1, 0))),
        'the other byte order in the code': array_of(Forged(np.dtype, ('>f8',))),
        'a subarray': array_of(dtype_with((3, '|', (np.dtype('f8'), (2,)), None, None, 16, 8, 0))),
        'flags of objects': array_of(dtype_with((3, '<', None, None, None, -1, -1, 1))),
        'too few bytes': array_of(np.dtype('f8'), b'\x10' * 8),
        'a shape without bytes': array_of(np.dtype('f8'), b'', (2**45,)),
        'a scalar of objects': Forged(SCALAR, (Forged(np.dtype, ('O',)), b'\x10' * 8)),
        'a scalar of too few bytes': Forged(SCALAR, (np.dtype('f8'), b'\x10')),
        'no dtype at all': array_of('f8'),
    }


def checkpoint(path, thing, zipped=True):
    """Write a checkpoint of mmengine's kind with `thing` where its Runner copies it when a training is resumed."""
    content = {
        'state_dict': {'a': torch.ones(2)},
        'meta': {'epoch': 1, 'iter': 2},
        'message_hub': {'log_scalars': {}, 'runtime_info': {'x': thing}, 'resumed_keys': {'x': True}},
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def odd_tensors():
    """name -> a tensor that is no model's weight, and a word of the message."""
    dense = torch.arange(4.0).reshape(2, 2)
    with warnings.catch_warnings():  # torch's, that some of these kinds are new or old
        warnings.simplefilter('ignore', UserWarning)
        rows, quantised = dense.to_sparse_csr(), torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8)
    return {
        'sparse': (dense.to_sparse(), 'sparse'),
        'compressed rows': (rows, 'sparse'),
        'without data': (dense.to('meta'), 'meta'),
        'quantised': (quantised, 'quantised'),
        'float8': (dense.to(torch.float8_e4m3fn), 'float8_e4m3fn'),
        'whole numbers': (dense.to(torch.int8), 'int8'),
        'complex': (dense.to(torch.complex64), 'complex64'),
        'flags': (dense.bool(), 'bool'),
    }
