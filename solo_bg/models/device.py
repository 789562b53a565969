"""Where a model runs, and how precisely."""

from __future__ import annotations

import torch

from solo_bg.errors import SetupError

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def choose_device(device: str | torch.device) -> torch.device:
    """`auto` or a device's name -> the device. `auto` is CUDA where there is one, else the CPU.

    Raises:
        SetupError: there is no such device here.
    """
    if str(device) == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise SetupError(f'no device is called {device!r}; expected auto, cpu, cuda or cuda:N') from error
    if chosen.type not in ('cpu', 'cuda'):
        raise SetupError(f'solo_bg runs on cpu and cuda, got {device!r}')
    if chosen.type == 'cuda' and (chosen.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SetupError(
            f'{device} was asked for, but torch {torch.__version__} sees {count} CUDA devices; use auto or cpu'
        )
    return chosen


def choose_precision(precision: str, device: torch.device) -> str:
    """`auto` or a precision's name -> the precision. `auto` is fp16 on CUDA and fp32 on the CPU."""
    if precision == 'auto':
        return 'fp16' if device.type == 'cuda' else 'fp32'
    if precision not in PRECISIONS:
        raise SetupError(f'no precision is called {precision!r}; expected auto, {", ".join(PRECISIONS)}')
    return precision
