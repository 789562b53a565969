"""Several processes for one folder: which images each of them does, and how they wait for each other."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import timedelta

from solo_bg.records import input_of

BARRIER_TIMEOUT = timedelta(days=30)  # the slowest process may take this much longer than the fastest


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of about equal size; `index` counts from 0. An input's name alone decides about its part.

    Attributes:
        launched: torchrun started the processes. They wait for each other, and the first one merges the results.
    """

    index: int = 0
    count: int = 1
    launched: bool = False

    def __str__(self) -> str:
        return f'shard {self.index}/{self.count}'

    @property
    def prepares(self) -> bool:
        """This process prepares the output folder. Under torchrun, only the first process does."""
        return not self.launched or self.index == 0

    @property
    def alone(self) -> bool:
        """No other process writes to the output folder while this one prepares it, so it may change every journal."""
        return self.count == 1 or (self.launched and self.index == 0)

    def owns(self, name: str) -> bool:
        """Whether the input of this name is in this part."""
        return shard_index(name, self.count) == self.index

    def name(self, file: str) -> str:
        """This shard's own name for a file: `manifest.jsonl` -> `manifest-00000-of-00002.jsonl`."""
        stem, _, suffix = file.partition('.')
        return file if self.count == 1 else f'{stem}-{self.index:05d}-of-{self.count:05d}.{suffix}'

    def wait(self) -> None:
        """Wait until every process that torchrun started has called this."""
        if not self.launched:
            return
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group('gloo', timeout=BARRIER_TIMEOUT)
        dist.barrier()


WHOLE = Shard()


def shard_index(name: str, count: int) -> int:
    """Which of `count` parts an input belongs to; it depends on nothing but the name. Frames go with their video."""
    digest = hashlib.sha256(input_of(name).encode(errors='surrogateescape')).digest()
    return int.from_bytes(digest[:4], 'big') % count


def launched_shard() -> Shard | None:
    """The part that torchrun assigns to this process; None without torchrun."""
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return None
    index, count = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
    return Shard(index, count, launched=count > 1)


def cores() -> int:
    """Number of CPU cores for this process: those that it may use, divided by torchrun's processes on this machine."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, mine // int(os.environ.get('LOCAL_WORLD_SIZE', '1')))
