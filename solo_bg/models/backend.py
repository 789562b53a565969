"""Which library computes: torch or OpenVINO for a lazy SOLO, onnxruntime or OpenVINO for an ONNX file."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import torch

from solo_bg.errors import SetupError
from solo_bg.solo.compiled import openvino_precisions

log = logging.getLogger('solo_bg')

BACKENDS = ('auto', 'torch', 'openvino')


def choose_backend(backend: str, precision: str, device: torch.device, lazy: bool) -> tuple[str, str]:
    """Choose what computes, and in which precision.

    `auto` is OpenVINO for bf16 on a CPU where OpenVINO is installed and has bf16, and torch for everything else: in
    fp32, torch with Winograd's algorithm is as fast or faster (see docs/backends.md).

    Args:
        backend: one of BACKENDS.
        precision: `fp32`, `bf16` or `fp16`.
        device: the model's device.
        lazy: the model has a lazy head.

    Returns:
        `torch` or `openvino`, and the precision. It differs from the given one where OpenVINO lacks that one on this
        CPU and was asked for by name: then it computes in fp32, and the log says so.

    Raises:
        SetupError: an unknown backend, or OpenVINO was asked for and is missing, or cannot run this model here.
    """
    check_backend(backend)
    if backend == 'torch':
        return 'torch', precision
    if backend == 'auto':
        return ('openvino' if lazy and bf16_on_openvino(precision, device) else 'torch'), precision
    check_device(device)
    if not lazy:
        raise SetupError("--backend openvino is for SOLO with this package's lazy head; use --backend torch")
    return 'openvino', precision_of_openvino(precision)


def choose_onnx_backend(backend: str, precision: str, device: torch.device) -> tuple[str, str]:
    """Choose what computes an ONNX file, and in which precision.

    `auto` is OpenVINO in the same cases as in `choose_backend`, and onnxruntime otherwise. `torch` is onnxruntime, too:
    torch cannot compute ONNX files.

    Args:
        backend: one of BACKENDS.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        device: where the network is to run.

    Returns:
        `onnxruntime` or `openvino`, and the precision: onnxruntime has the file's own, which is called `file` here.

    Raises:
        SetupError: as `choose_backend`.
    """
    check_backend(backend)
    if backend == 'openvino':
        check_device(device)
        return 'openvino', precision_of_openvino('fp32' if precision == 'auto' else precision)
    if backend == 'auto' and bf16_on_openvino(precision, device):
        return 'openvino', precision
    if precision in ('bf16', 'fp16'):
        log.warning(
            "onnxruntime computes in the file's own precision, not in %s; --backend openvino has bf16 on some CPUs",
            precision,
        )
    return 'onnxruntime', 'file'


def check_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise SetupError(f'no backend is called {backend!r}; expected {", ".join(BACKENDS)}')


def check_device(device: torch.device) -> None:
    if device.type != 'cpu':
        raise SetupError(
            f'--backend openvino is for the CPU, got --device {device}; use --device cpu or another backend'
        )


def bf16_on_openvino(precision: str, device: torch.device) -> bool:
    """Whether bf16 was asked for, and OpenVINO is installed and has it on this CPU."""
    asked = precision == 'bf16' and device.type == 'cpu' and find_spec('openvino') is not None
    return asked and 'bf16' in openvino_precisions()


def precision_of_openvino(precision: str) -> str:
    """The precision, or fp32 where OpenVINO lacks it on this CPU; then the log says so."""
    known = openvino_precisions()
    if precision not in known:
        log.warning('OpenVINO has no %s on this CPU (it has %s), so it computes in fp32', precision, ', '.join(known))
    return precision if precision in known else 'fp32'
