"""An ONNX file as a foreground network, run by onnxruntime or OpenVINO."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.errors import ImageError, SetupError
from solo_bg.models.backend import choose_onnx_backend
from solo_bg.models.foreground_pixels import Size
from solo_bg.models.foreground_zoo import Recipe
from solo_bg.models.openvino_session import OpenVinoSession

log = logging.getLogger('solo_bg')

FLOATS = {'tensor(float)': np.float32, 'tensor(float16)': np.float16}
States = Sequence[Any]


class OnnxNetwork:
    """One session of onnxruntime or OpenVINO whose inputs and outputs fit a recipe.

    Attributes:
        fixed: height and width of the input, where the file fixes them.
        backend: `onnxruntime` or `openvino`.
        precision: `file` (the file's own), `fp32` or `bf16`.

    Args:
        device: where it runs; `cuda` needs onnxruntime-gpu.
        backend, precision: as `choose_onnx_backend` takes them.

    Raises:
        SetupError: the library is missing or cannot run on the device, or the file is no ONNX model or does not fit the
            recipe.
    """

    def __init__(
        self, path: Path, recipe: Recipe, device: torch.device, backend: str = 'auto', precision: str = 'auto'
    ) -> None:
        self.path, self.recipe = path, recipe
        self.backend, self.precision = choose_onnx_backend(backend, precision, device)
        if self.backend == 'openvino':
            self.session = loaded(path, 'OpenVINO', lambda: OpenVinoSession(path, self.precision))
        else:
            self.session = open_session(path, device)
        inputs = {one.name: one for one in self.session.get_inputs()}
        taken = {f'{name}i' for name in recipe.states} | ({recipe.ratio} if recipe.ratio else set())
        if missing := taken - set(inputs):
            raise SetupError(f'{path} has no input {", ".join(sorted(missing))}; its inputs are {", ".join(inputs)}')
        images = [one for name, one in inputs.items() if name not in taken]
        if len(images) != 1:
            names = ', '.join(one.name for one in images)
            raise SetupError(f'{path} has the inputs {names}; expected one, the image')
        self.image = images[0]
        self.type = FLOATS.get(self.image.type)
        self.fixed = check_image_input(path, self.image, recipe)
        self.outputs = [choose_output(path, self.session.get_outputs(), recipe.output)]
        self.outputs += [choose_output(path, self.session.get_outputs(), f'{name}o') for name in recipe.states]

    def __call__(
        self, image: NDArray[np.float32], ratio: float, states: States | None = None
    ) -> tuple[NDArray[np.floating], States]:
        """Run the network on one image.

        Args:
            image: float32 (1, 3, h, w).
            ratio: for the input that `recipe.ratio` names.
            states: those that the clip's previous frame gave; None: its first frame, or a still.

        Returns:
            the output that holds alpha, and the states for the next frame.

        Raises:
            ImageError: it cannot be run on this image.
        """
        states = states or [np.zeros((1, 1, 1, 1), self.type)] * len(self.recipe.states)
        feed: dict[str, Any] = {self.image.name: image.astype(self.type, copy=False)}
        feed |= {f'{name}i': state for name, state in zip(self.recipe.states, states, strict=True)}
        if self.recipe.ratio:
            feed[self.recipe.ratio] = np.array([ratio], np.float32)
        try:
            output, *states = self.session.run(self.outputs, feed)
        except Exception as error:
            shape = 'x'.join(map(str, image.shape[2:]))
            raise ImageError(
                f'{self.backend} cannot run {self.path.name} on {shape} pixels: {one_line(error)}'
            ) from error
        return output.astype(np.float32, copy=False), states


def open_session(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupError(f'{path.name} needs onnxruntime ({error}); pip install "solo_bg[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what matters arrives as an exception
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')  # the pipeline's threads need the cores
    providers = choose_providers(onnxruntime, device)
    session = loaded(path, 'onnxruntime', lambda: onnxruntime.InferenceSession(str(path), options, providers=providers))
    if device.type == 'cuda' and 'CUDAExecutionProvider' not in session.get_providers():
        raise SetupError(
            f'onnxruntime cannot use {device}, although it was built for CUDA; its CUDA or cuDNN libraries are missing '
            'or have another version. Use --device cpu'
        )
    return session


def loaded(path: Path, library: str, load: Callable[[], Any]) -> Any:
    """What `load` returns; its errors, which have no common class of their own, as a SetupError."""
    try:
        return load()
    except SetupError:
        raise
    except Exception as error:
        if not path.is_file():
            raise SetupError(f'there is no file {path}') from error
        hint = 'the file may be truncated, not an ONNX model, or lack the file with its external data beside it'
        raise SetupError(f'{library} cannot load {path}: {one_line(error)} ({hint})') from error


def choose_providers(onnxruntime: Any, device: torch.device) -> list[Any]:
    """The execution providers of a device."""
    if device.type != 'cuda':
        return ['CPUExecutionProvider']
    if 'CUDAExecutionProvider' not in onnxruntime.get_available_providers():
        raise SetupError('this onnxruntime runs on the CPU only; pip install onnxruntime-gpu, or use --device cpu')
    return [('CUDAExecutionProvider', {'device_id': device.index or 0}), 'CPUExecutionProvider']


def check_image_input(path: Path, image: Any, recipe: Recipe) -> Size | None:
    """The height and width that the file fixes for the image, or None.

    Raises:
        SetupError: the input is no batch of one RGB image, or its size contradicts the recipe.
    """
    shape = list(image.shape)
    batch, channels = (*shape, None, None)[:2]
    known = (batch == 1 or not isinstance(batch, int)) and (channels == 3 or not isinstance(channels, int))
    if len(shape) != 4 or image.type not in FLOATS or not known:
        raise SetupError(f'{path} takes {image.name}: {image.type} {shape}; expected floats of shape (1, 3, H, W)')
    height, width = shape[2:]
    if isinstance(height, int) and isinstance(width, int):
        if recipe.resize != 'stretch' or recipe.size not in (0, height) or recipe.size not in (0, width):
            raise SetupError(
                f'{path} takes images of {width}x{height} only; expected a file for resize={recipe.resize}, '
                f'size={recipe.size}. Set --cfg-options resize=stretch size=0'
            )
        return height, width
    if not recipe.size:
        raise SetupError(f'{path} takes images of any size; say which with --cfg-options size=N')
    return None


def choose_output(path: Path, outputs: Sequence[Any], wanted: str) -> str:
    """The name of the output that a name, a number or, for the only one, '' stands for."""
    names = [one.name for one in outputs]
    if wanted in names:
        return wanted
    if wanted.isdigit() and int(wanted) < len(names):
        return names[int(wanted)]
    if not wanted and len(names) == 1:
        return names[0]
    asked = f'has no output {wanted}' if wanted else 'has several outputs'
    raise SetupError(f'{path} {asked}; its outputs are {", ".join(names)}. Choose with --cfg-options output=NAME')


def one_line(error: Exception) -> str:
    """The first words of a message."""
    text = ' '.join(str(error).split())
    return text if len(text) <= 300 else f'{text[:300]}...'
