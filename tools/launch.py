"""How `tools/train.py` and `tools/test.py` start a Runner: alone or under torchrun, on CUDA or the CPU."""

import sys
from collections.abc import Callable

import torch
from mmengine.config import Config

from solo_bg.errors import SetupError
from solo_bg.models.runner_loading import load_safely_everywhere


def prepare(config: Config, launcher: str, work_dir: str) -> None:
    """Put the launcher into the config, and let the Runner read checkpoints as data.

    Under torchrun without CUDA the processes communicate over gloo, since mmengine would choose NCCL.
    """
    load_safely_everywhere()
    config.merge_from_dict({'work_dir': work_dir, 'launcher': launcher})
    if launcher == 'pytorch' and not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')
        config.model_wrapper_cfg = {'type': 'MMDistributedDataParallel', 'device_ids': None}


def main_of(work: Callable[[], None]) -> None:
    """Run a tool. An error that a user can act on becomes one line and exit code 2."""
    try:
        work()
    except SetupError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)
