"""What `tools/train.py` and `tools/test.py` share: how a Runner starts, alone or under torchrun, on CUDA or the CPU."""

import sys
from collections.abc import Callable

import torch

from solo_bg.errors import SetupError
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.models.runner_loading import load_safely_everywhere

with quiet_imports():
    from mmengine.config import Config


def prepare(config: Config, launcher: str, work_dir: str) -> None:
    """Put the launcher into the config. Under torchrun without CUDA processes meet over gloo; mmengine takes NCCL."""
    load_safely_everywhere()
    config.merge_from_dict({'work_dir': work_dir, 'launcher': launcher})
    if launcher == 'pytorch' and not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')
        config.model_wrapper_cfg = {'type': 'MMDistributedDataParallel', 'device_ids': None}


def main_of(work: Callable[[], None]) -> None:
    """Run a tool; what a user can mend is one line and exit code 2."""
    try:
        work()
    except SetupError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)
