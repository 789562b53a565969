"""A TorchScript file as a foreground network. Such a file is a program: loading it can run any code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.errors import ImageError, SetupError
from solo_bg.models.foreground_zoo import Recipe


class TorchScriptNetwork:
    """RobustVideoMatting as its authors' TorchScript files have it.

    Called with the image, the recurrent states (None each for a first frame) and the ratio, it gives the foreground's
    colours, alpha and the states.

    Raises:
        SetupError: the file is not trusted, or is no TorchScript.
    """

    fixed = None
    backend, precision = 'torch', 'file'

    def __init__(self, path: Path, recipe: Recipe, device: torch.device, trusted: bool) -> None:
        if not trusted:
            raise SetupError(f'{path} is TorchScript, which runs code; add --trust-checkpoint if you trust it')
        if not recipe.states:
            raise SetupError(f'{path} is TorchScript; only RobustVideoMatting is used in this form: give CONFIG as rvm')
        try:
            self.model = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise SetupError(f'{path} cannot be loaded as TorchScript: {str(error).splitlines()[0]}') from error
        self.path, self.recipe, self.device = path, recipe, device
        parameter = next(self.model.parameters(), torch.zeros(0))
        self.type = parameter.dtype

    @torch.inference_mode()
    def __call__(
        self, image: NDArray[np.float32], ratio: float, states: Sequence[Any] | None = None
    ) -> tuple[NDArray[np.floating], Sequence[Any]]:
        """As `OnnxNetwork` does; the states stay on the device."""
        given = torch.from_numpy(image).to(self.device, self.type)
        try:
            _, alpha, *states = self.model(given, *(states or [None] * len(self.recipe.states)), ratio)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ImageError(f'{self.path.name} cannot run on this image: {reason}') from error
        return alpha.float().cpu().numpy(), states
