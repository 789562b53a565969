"""What computes the convolutions of a lazy SOLO: torch or OpenVINO."""

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
    if backend not in BACKENDS:
        raise SetupError(f'no backend is called {backend!r}; expected {", ".join(BACKENDS)}')
    if backend == 'torch':
        return 'torch', precision
    if backend == 'auto':
        fits = precision == 'bf16' and device.type == 'cpu' and lazy and find_spec('openvino') is not None
        return ('openvino' if fits and 'bf16' in openvino_precisions() else 'torch'), precision
    if device.type != 'cpu':
        raise SetupError(
            f'--backend openvino is for the CPU, got --device {device}; use --device cpu or another backend'
        )
    if not lazy:
        raise SetupError("--backend openvino is for SOLO with this package's lazy head; use --backend torch")
    known = openvino_precisions()
    if precision not in known:
        log.warning('OpenVINO has no %s on this CPU (it has %s), so it computes in fp32', precision, ', '.join(known))
    return 'openvino', precision if precision in known else 'fp32'
