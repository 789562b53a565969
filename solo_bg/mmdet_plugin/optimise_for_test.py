"""A hook that a config can name: rearrange a lazy SOLO before mmdet's Runner tests it."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from solo_bg.errors import SetupError
from solo_bg.mmdet_plugin.lazy_solo import LazySOLOHead
from solo_bg.solo.optimise import optimise


@HOOKS.register_module()
class OptimiseForTest(Hook):
    """Call `optimise` on the model when a test begins. Afterwards the model cannot be trained.

    Args:
        backend: `torch`, or `openvino` for a model on the CPU.
        precision: of OpenVINO: `fp32`, or `bf16` on a CPU that has it. With torch, the precision is the Runner's.

    Raises:
        SetupError: the model has no lazy SOLO head, or OpenVINO cannot be used.
    """

    def __init__(self, backend: str = 'torch', precision: str = 'fp32') -> None:
        self.backend, self.precision = backend, precision

    def before_test(self, runner: Runner) -> None:
        model = getattr(runner.model, 'module', runner.model)  # of a distributed run
        if not isinstance(getattr(model, 'mask_head', None), LazySOLOHead):
            raise SetupError('OptimiseForTest expected a model with a lazy SOLO head, such as LazySOLOHead')
        optimise(model, self.precision, self.backend)
