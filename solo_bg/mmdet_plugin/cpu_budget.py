"""Training for a given time instead of a given number of steps, to compare models whose steps differ in cost."""

from __future__ import annotations

import time
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class CpuBudget(Hook):
    """Stop a training after some processor time, and set the learning rate by the share of it that is used.

    Only the time of the training process counts, on all its cores: load the data in it (`num_workers=0`). The learning
    rate rises linearly from 0 to the optimizer's `lr` during `warmup`, stays there, and falls linearly to 0 from
    `decay` on. When the time is used up, the weights are saved as `final.pth` in the working folder.

    Args:
        seconds: processor time from the first step on.
        warmup, decay: shares of it, in 0..1.
    """

    def __init__(self, seconds: float, warmup: float = 0.1, decay: float = 0.5) -> None:
        if seconds <= 0 or not 0 <= warmup <= decay < 1:
            raise ValueError(f'expected seconds > 0 and 0 <= warmup <= decay < 1, got {seconds}, {warmup}, {decay}')
        self.seconds, self.warmup, self.decay = seconds, warmup, decay
        self.start = 0.0

    def before_train(self, runner: Any) -> None:
        self.start = time.process_time()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for group in runner.optim_wrapper.param_groups:
            group['lr'] = group.setdefault('initial_lr', group['lr']) * self.factor(self.used())

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.used() >= 1:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Any) -> None:
        runner.logger.info(f'{runner.iter} steps in {time.process_time() - self.start:.0f} seconds of processor time')
        runner.save_checkpoint(runner.work_dir, 'final.pth', save_optimizer=False)

    def used(self) -> float:
        """The share of the time that is used."""
        return (time.process_time() - self.start) / self.seconds

    def factor(self, used: float) -> float:
        """What the learning rate is multiplied by."""
        rising = used / self.warmup if self.warmup else 1.0
        return max(0.0, min(1.0, rising, (1 - used) / (1 - self.decay)))
