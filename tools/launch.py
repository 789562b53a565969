"""What `tools/train.py` and `tools/test.py` share: starting mmengine's Runner, and errors in one line."""

import sys
from collections.abc import Callable

import torch

from solo_bg.errors import SetupError
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.models.runner_loading import load_safely_everywhere

with quiet_imports():
    from mmengine.config import Config


def prepare(config: Config, launcher: str, work_dir: str) -> None:
    """Set the launcher and the work folder in the config, and make the Runner load checkpoints safely.

    Under torchrun without CUDA the processes communicate over gloo; mmengine itself would always use NCCL.
    """
    load_safely_everywhere()
    config.merge_from_dict({'work_dir': work_dir, 'launcher': launcher})
    if launcher == 'pytorch' and not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')
        config.model_wrapper_cfg = {'type': 'MMDistributedDataParallel', 'device_ids': None}


def main_of(work: Callable[[], None]) -> None:
    """Run a tool. An error that a user can correct is printed in one line, with exit code 2."""
    try:
        work()
    except SetupError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)
