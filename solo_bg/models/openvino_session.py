"""OpenVINO with the interface of onnxruntime's `InferenceSession`, for ONNX files on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solo_bg.solo.compiled import compile_for_cpu, import_openvino

TYPES = {'f32': 'tensor(float)', 'f16': 'tensor(float16)'}  # OpenVINO's names -> onnxruntime's


@dataclass(frozen=True)
class Port:
    """An input or output: its name, type, and shape as onnxruntime gives them; None for a size that may vary."""

    name: str
    type: str
    shape: list[int | None]


class OpenVinoSession:
    """An ONNX network that OpenVINO computes. May be called in several threads; they take turns.

    Args:
        precision: `fp32`, or `bf16` if OpenVINO has it on this CPU.
    """

    def __init__(self, path: Path, precision: str) -> None:
        model = import_openvino().Core().read_model(str(path))
        self.inputs, self.outputs = [port_of(one) for one in model.inputs], [port_of(one) for one in model.outputs]
        self.request = compile_for_cpu(model, precision).create_infer_request()
        self.lock = threading.Lock()

    def get_inputs(self) -> list[Port]:
        return self.inputs

    def get_outputs(self) -> list[Port]:
        return self.outputs

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the outputs of the given names; they are the caller's own."""
        with self.lock:
            found = self.request.infer({name: np.ascontiguousarray(value) for name, value in feed.items()})
        return [found[name] for name in names]


def port_of(port: Any) -> Port:
    shape = [int(size.get_length()) if size.is_static else None for size in port.get_partial_shape()]
    kind = port.get_element_type().get_type_name()
    return Port(port.get_any_name(), TYPES.get(kind, f'tensor({kind})'), shape)
