"""CUDA streams, so that composing in worker threads does not wait for the model's next batch. A CPU has none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_own = threading.local()  # .streams: device -> the stream of this thread


def work_so_far(device: torch.device) -> Any:
    """A CUDA event behind all work that the current stream has been given so far; None on a CPU."""
    return torch.cuda.current_stream(device).record_event() if device.type == 'cuda' else None


@contextmanager
def own_stream(device: torch.device, after: Any) -> Iterator[None]:
    """Work in a CUDA stream of this thread's own, which begins when the event `after` has happened.

    In the end the host waits for this stream. So tensors that another stream allocated may be used here, and be freed
    afterwards: their memory is not given to new tensors of that stream before this one has read it. The caller must
    hold them until then.
    """
    if after is None:
        yield
        return
    streams = _own.__dict__.setdefault('streams', {})
    if device not in streams:  # one for each thread and device: every stream keeps a pool of memory
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream = streams[device]
    stream.wait_event(after)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        stream.synchronize()
