"""One folder, several processes: which images are whose, and how processes of one machine wait for each other."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import timedelta

PATIENCE = timedelta(days=30)  # with the slowest of the processes


@dataclass(frozen=True)
class Shard:
    """The `index`-th, from 0, of `count` parts of about one size. A name is always in the same of so many parts.

    Attributes:
        launched: by torchrun: the processes know each other, and the first one merges.
    """

    index: int = 0
    count: int = 1
    launched: bool = False

    @property
    def alone(self) -> bool:
        """Nobody else writes to OUT while this process prepares it: it may change every journal there."""
        return self.count == 1 or (self.launched and self.index == 0)

    def owns(self, name: str) -> bool:
        """Whether an input is in this part."""
        digest = hashlib.sha256(name.encode(errors='surrogateescape')).digest()
        return int.from_bytes(digest[:4], 'big') % self.count == self.index

    def name(self, file: str) -> str:
        """What this shard calls its own `manifest.jsonl`, say."""
        stem, _, suffix = file.partition('.')
        return file if self.count == 1 else f'{stem}-{self.index:05d}-of-{self.count:05d}.{suffix}'

    def wait(self) -> None:
        """For the other processes that torchrun has started, until they are here as well."""
        if not self.launched:
            return
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group('gloo', timeout=PATIENCE)
        dist.barrier()


WHOLE = Shard()


def launched_shard() -> Shard | None:
    """What torchrun tells this process that it is; None without torchrun."""
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return None
    index, count = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
    return Shard(index, count, launched=count > 1)


def cores() -> int:
    """The processor cores that this process may use, shared fairly among those of torchrun."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, mine // int(os.environ.get('LOCAL_WORLD_SIZE', '1')))
