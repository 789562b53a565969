"""A CUDA device that is not there: its tensors lie in the host's memory and say that they are on `cuda:0`.

Every call of torch is checked: tensors of both devices in one call are an error, as on a GPU. What a GPU would do is
counted: operations (kernels and copies; views are free) and waits (calls that return only when the device has finished
its work so far: those that bring numbers to the host, and copies from memory that is not pinned). Streams and events
only note what they are asked for. The results' rounding, the speed and the order of work of a GPU cannot be seen here.

Torch keeps such a check for each thread, so run the code in the thread that entered `pretended_device`.
"""

from collections import Counter
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

CUDA = torch.device('cuda:0')
STAGED = 2**16  # bytes; CUDA takes a smaller copy out of pageable memory at once, if it is asked not to wait
READS = {'item', 'tolist', '__bool__', '__int__', '__float__', '__index__', '__contains__', 'equal', 'allclose'}
SIZES = {'nonzero', 'unique', 'masked_select', 'bincount', 'argwhere'}  # the host must know the result's size
MOVES = {'to', 'cpu', 'cuda'}
MIXES = {'__getitem__', '__setitem__', 'copy_'}  # torch moves a tensor of the host by itself
FREE = {'empty', 'empty_like', 'empty_strided', 'new_empty', 'lift_fresh', '_local_scalar_dense'}


class OnDevice(torch.Tensor):
    """A tensor that says it is on `cuda:0`."""


class Kernels(TorchDispatchMode):
    """Counts what reaches the kernels, but for views."""

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.partition('::')[2]
        if not function.is_view and name not in FREE:
            self.device.note(name)
        return function(*args, **(kwargs or {}))


class Device(TorchFunctionMode):
    """The count of `operations` and of `waits`, by name. `asked` is what streams and events were asked for."""

    def __init__(self):
        super().__init__()
        self.pinned = {}
        self.reset()

    def reset(self):
        self.operations, self.waits, self.asked = Counter(), Counter(), []

    def note(self, name, wait=False):
        self.operations[name] += 1
        self.wait(name, wait)

    def wait(self, name, waits=True):
        if waits:
            self.waits[name] += 1

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(function, '__name__', '')
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        there = any(isinstance(one, OnDevice) for one in tensors)
        if function is torch.device:
            return function(*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            if name == '__get__' and there:
                owner = function.__self__.__name__
                known = {'device': CUDA, 'is_cuda': True, 'is_cpu': False}
                return known[owner] if owner in known else self.mark(function(*args, **kwargs))
            if name in ('pin_memory', 'is_pinned'):
                return self.pin(args[0].clone()) if name == 'pin_memory' else self.is_pinned(args[0])
            if name in MOVES:
                return self.move(name, *args, **kwargs)
            if there:
                self.check(name, args, kwargs, tensors)
            return self.run(function, name, args, kwargs, there)

    def run(self, function, name, args, kwargs, there):
        """The call itself, on the host; its results lie where torch would put them."""
        asked = kwargs.get('device') or next((one for one in args if isinstance(one, torch.device)), None)
        here = 'cpu' if asked is not None else None
        if asked is not None:
            there = torch.device(asked).type == 'cuda'
            args = tree_map(lambda one: torch.device('cpu') if isinstance(one, torch.device) else one, args)
            kwargs.update({'device': here} if 'device' in kwargs else {})
        if there and name in ('tensor', 'as_tensor'):
            self.note(name, wait=True)  # numbers of the host, from memory that is not pinned
        pinned = kwargs.pop('pin_memory', False)
        with Kernels(self) if there else nullcontext():
            result = function(*args, **kwargs)
        if pinned:
            return self.pin(result)
        to_host = name == 'copy_' and not isinstance(args[0], OnDevice)
        return self.mark(result) if there and not to_host else result

    def check(self, name, args, kwargs, tensors):
        """Raise an error for a mix of devices; count a wait."""
        others = [one for one in tensors if not isinstance(one, OnDevice) and one.dim()]
        if others and name not in MIXES:
            raise RuntimeError(f'{name}: tensors on cuda:0 and on cpu, {[tuple(one.shape) for one in tensors]}')
        if name in ('numpy', '__array__'):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if name == 'copy_':
            at_once = (True in args[2:] or kwargs.get('non_blocking')) and all(map(self.is_pinned, others))
            self.wait(name, others and not at_once)
        elif name in ('__getitem__', '__setitem__'):
            indices = [one for one in tree_leaves(args[1]) if isinstance(one, torch.Tensor)]
            fills = name == '__setitem__' and not (isinstance(args[2], torch.Tensor) and args[2].dim())
            by_mask = any(one.dtype == torch.bool for one in indices) and not (fills and len(indices) == 1)
            self.wait(name, others or by_mask)
        elif name in READS | SIZES or (name == 'repeat_interleave' and len(tensors) > 1):
            self.note(name, wait=True)

    def move(self, name, tensor, *args, non_blocking=False, copy=False, **kwargs):
        if args and isinstance(args[0], torch.Tensor):  # `.to(other)`
            args = self.device_of(args[0]), args[0].dtype, *args[1:]
        target = {'cpu': ('cpu',), 'cuda': (CUDA,)}.get(name, args)
        device, dtype, _, memory_format = torch._C._nn._parse_to(*target, **kwargs)
        non_blocking = non_blocking or any(one is True for one in args)
        source = self.device_of(tensor)
        device = source if device is None else torch.device(device)
        wanted = {'memory_format': memory_format} if memory_format else {}
        if device.type == source.type:
            with Kernels(self) if device.type == 'cuda' else nullcontext():
                moved = tensor.to(dtype=dtype or tensor.dtype, copy=copy, **wanted)
            return self.mark(moved) if device.type == 'cuda' else moved
        size = tensor.numel() * tensor.element_size()
        free = non_blocking and source.type == 'cpu' and (size <= STAGED or self.is_pinned(tensor))
        self.note(f'to {device.type}', wait=not free)
        moved = tensor.as_subclass(torch.Tensor).to(dtype=dtype or tensor.dtype, copy=True, **wanted)
        return self.mark(moved) if device.type == 'cuda' else moved

    def device_of(self, tensor):
        return CUDA if isinstance(tensor, OnDevice) else torch.device('cpu')

    def mark(self, result):
        return tree_map_only(
            torch.Tensor, lambda one: one if isinstance(one, OnDevice) else one.as_subclass(OnDevice), result
        )

    def pin(self, tensor):
        self.pinned[tensor.untyped_storage().data_ptr()] = tensor  # kept, so that no other memory takes its address
        return tensor

    def is_pinned(self, tensor):
        return tensor.untyped_storage().data_ptr() in self.pinned


@contextmanager
def pretended_device():
    """Meanwhile `cuda:0` is there. Yields the `Device`, which counts."""
    device = Device()

    def ask(what):
        def note(*args, **kwargs):
            device.asked.append(what)
            device.wait(what, what.endswith('synchronize'))
            return what

        return note

    stream = SimpleNamespace(
        **{name: ask(name) for name in ('wait_event', 'wait_stream', 'record_event', 'synchronize')}
    )
    fakes = {
        'device_count': lambda: 1,
        'Stream': lambda *args, **kwargs: stream,
        'current_stream': lambda *args: stream,
        'stream': lambda stream: nullcontext(),
        'empty_cache': ask('empty_cache'),
    }
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(
        True
    )  # else `Module.to` keeps the parameters of the host
    try:
        with mock.patch.multiple(torch.cuda, **fakes), device:
            yield device
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwritten)
