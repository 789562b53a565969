"""The convolutions of a lazy SOLO, computed by OpenVINO in place of torch.

The modules that hold convolutions are replaced by `Compiled` ones; everything else stays: the head's decisions, and the
decoding. OpenVINO's own `convert_model` reports its use to Intel where `openvino-telemetry` is installed, so the
PyTorch frontend below it is called directly.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from solo_bg.errors import SetupError

IMAGE, MAP = (64, 96), (8, 12)  # height and width of the inputs with which parts are converted
TOLERANCE = {'fp32': 1e-3, 'bf16': 0.1}  # of the check: share of the largest value
HINTS = {'fp32': 'f32', 'bf16': 'bf16'}

Network = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]  # the outputs are the caller's own


def compile_convolutions(model: Any, precision: str) -> None:
    """Let OpenVINO compute the backbone, the neck and the head's branches of a lazy SOLO on the CPU, in place.

    The last convolution of the mask branch stays in torch, because a lazy head takes only some rows of it.

    Args:
        model: mmdet's `SOLO` with a lazy head and its weights, on the CPU.
        precision: `fp32`, or `bf16` if OpenVINO has it on this CPU (see `openvino_precisions`).

    Raises:
        SetupError: OpenVINO is missing, cannot convert a part, or computes something else than torch.
    """
    head = model.mask_head
    model.backbone = compile_part('backbone and neck', precision, IMAGE, model.backbone, model.neck)
    model.neck = None
    for name, layers in list(head.named_children()):
        if name.startswith('mask_convs') and len(layers):
            setattr(head, name, nn.ModuleList([compile_part(name, precision, MAP, *layers)]))
    down = head.cls_down_index  # before this layer the head brings the map to the size of its grid
    before, after = head.cls_convs[:down], [*head.cls_convs[down:], head.conv_cls]
    first = [compile_part('cls_convs', precision, MAP, *before)] if len(before) else []
    head.cls_convs = nn.ModuleList([*first, compile_part('cls_convs', precision, MAP, *after)])
    head.cls_down_index, head.conv_cls = len(first), nn.Identity()


def compile_part(name: str, precision: str, size: tuple[int, int], *parts: nn.Module | None) -> Compiled:
    """Compile modules that are called one after the other, and compare the results with torch's.

    A module whose steps depend on the size of its input would be converted for one size only. The comparison therefore
    uses another size than the conversion, and two images.

    Args:
        name: of the part, for messages.
        size: height and width of the input with which it is converted.
    """
    module = nn.Sequential(*(part for part in parts if part is not None)).eval()
    channels = next(layer.in_channels for layer in module.modules() if isinstance(layer, nn.Conv2d))
    x = torch.rand(2, channels, *size[::-1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = as_tuple(module(x))
    try:
        compiled = Compiled(openvino_network(module, (1, channels, *size), precision), len(wanted))
        found = as_tuple(compiled(x))
        same = all(agree(one, other, TOLERANCE[precision]) for one, other in zip(found, wanted, strict=True))
    except SetupError:
        raise
    except Exception as error:  # OpenVINO's errors have no common class of their own
        reason = ' '.join(str(error).split())[:300]
        raise SetupError(f'OpenVINO cannot compute the {name} of this model: {reason}; use --backend torch') from error
    if not same:
        raise SetupError(f'OpenVINO computes the {name} of this model differently from torch; use --backend torch')
    return compiled


def agree(found: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether two tensors have one shape and nearly the same values. Broken weights give NaN in both."""
    if found.shape != wanted.shape:
        return False
    least = wanted.abs().max() * tolerance
    return torch.allclose(found, wanted, rtol=0, atol=float(least), equal_nan=True) or not wanted.isfinite().all()


class Compiled(nn.Module):
    """A module that a network computes outside torch. It has no gradients.

    Takes float32 (B, C, h, w) on the CPU, of any batch and size. Returns what the module returned: a tensor or, for
    several outputs, a tuple of tensors. May be called in several threads; they take turns.
    """

    def __init__(self, network: Network, outputs: int) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs
        self.lock = threading.Lock()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        with self.lock:
            found = tuple(map(torch.from_numpy, self.network(x.float().contiguous().numpy())))
        return found if self.outputs > 1 else found[0]


def as_tuple(output: Any) -> tuple[Tensor, ...]:
    return (output,) if isinstance(output, Tensor) else tuple(output)


def openvino_network(module: nn.Module, shape: Sequence[int], precision: str) -> Network:
    """Convert a module in memory, with an input of the given shape, for inputs of any batch, height and width."""
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework('pytorch')
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore', TracerWarning)  # `compile_part` finds what the trace gets wrong
        decoder = TorchScriptPythonDecoder(module, example_input=(torch.zeros(shape),))  # must outlive the conversion
        converted = frontend.convert(frontend.load(decoder))
    converted.reshape(openvino.PartialShape([-1, shape[1], -1, -1]))
    request = compile_for_cpu(converted, precision).create_infer_request()

    def run(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return list(request.infer([x], share_inputs=True).values())

    return run


def compile_for_cpu(model: Any, precision: str) -> Any:
    """Compile a model of OpenVINO, in `fp32` or `bf16`, for as many threads as torch uses."""
    options = {
        'INFERENCE_PRECISION_HINT': HINTS[precision],
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
        'NUM_STREAMS': 1,
        'ENABLE_CPU_PINNING': False,  # a thread that is tied to a core waits there for other processes
    }
    return import_openvino().Core().compile_model(model, 'CPU', options)


def openvino_precisions() -> list[str]:
    """The precisions in which OpenVINO computes on this CPU; bf16 is among them only where the CPU has it.

    Raises:
        SetupError: OpenVINO is missing.
    """
    known = import_openvino().Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    return [precision for precision in HINTS if precision.upper() in known]


def import_openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise SetupError(f'--backend openvino needs OpenVINO ({error}); pip install "solo_bg[openvino]"') from error
    return openvino
