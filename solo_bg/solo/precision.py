"""float32 arithmetic whose result does not depend on the caller's settings of torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def exact_settings() -> list[tuple[Any, str, Any]]:
    """The settings of torch that round float32, each as its owner, its name and the value that rounds least.

    cuDNN's benchmark mode is among them: it chooses algorithms by their speed, and each rounds in its own way.
    """
    backends: Any = torch.backends
    settings = [(backends.cudnn, 'benchmark', False)]
    if hasattr(backends.cuda.matmul, 'fp32_precision'):  # reading the older settings fails where both were used
        owners = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
        return [*settings, *((owner, 'fp32_precision', 'ieee') for owner in owners)]
    return [*settings, (backends.cuda.matmul, 'allow_tf32', False), (backends.cudnn, 'allow_tf32', False)]


class Saved:
    """The caller's values while any thread is inside `full_float32`."""

    lock = threading.Lock()
    users = 0
    values: tuple[tuple[Any, str, Any], ...] = ()


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 with all of its bits: no TF32 on CUDA, no bfloat16 on the CPU, whatever the caller has set.

    The settings belong to the process. The first thread that enters saves them, and the last one that leaves puts them
    back.
    """
    with Saved.lock:
        Saved.users += 1
        if Saved.users == 1:
            exact = exact_settings()
            Saved.values = tuple((owner, name, getattr(owner, name)) for owner, name, _ in exact)
            for owner, name, value in exact:
                setattr(owner, name, value)
    try:
        yield
    finally:
        with Saved.lock:
            Saved.users -= 1
            if not Saved.users:
                for owner, name, value in Saved.values:
                    setattr(owner, name, value)
