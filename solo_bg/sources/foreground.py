"""The foreground that a published network finds: U2-Net, IS-Net, BiRefNet, MODNet, RobustVideoMatting."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from solo_bg.models.foreground_zoo import FOREGROUND_MODELS, Recipe
from solo_bg.sources.base import InputImage, Source, SourceSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.core.instances import Instances
    from solo_bg.models.onnx_network import OnnxNetwork
    from solo_bg.models.torchscript_network import TorchScriptNetwork

    Output = NDArray[np.floating]


AT_ONCE = 4  # images in the network at the same time, at most
SMALL = 512 * 512  # pixels of the input of a network that needs little memory for each image


class Foreground(Source):
    """One instance an image, with alpha; or one instance for each class that a network tells apart.

    Args:
        recipe: how images become the network's input, and its output alpha.
        weights: SHA-256 of the network's file.
        device: where the network runs and where masks and alpha are.
    """

    needs_model = True
    has_scores = False

    def __init__(self, network: OnnxNetwork | TorchScriptNetwork, recipe: Recipe, weights: str, device: str) -> None:
        self.network, self.recipe, self.weights, self.device = network, recipe, weights, device
        self.class_names, self.at_once = recipe.classes, count_at_once(network, recipe, device)

    @classmethod
    def claims(cls, config: str) -> bool:
        return config in FOREGROUND_MODELS or config.lower().endswith('.onnx')

    @classmethod
    def build(cls, settings: SourceSettings) -> Foreground:
        from solo_bg.disk.read import digest
        from solo_bg.models.device import choose_device
        from solo_bg.models.find import own_device
        from solo_bg.models.foreground_weights import find_network
        from solo_bg.models.onnx_network import OnnxNetwork
        from solo_bg.models.torchscript_network import TorchScriptNetwork

        path, recipe = find_network(settings.config, settings.checkpoint, settings.cfg_options)
        device = choose_device(own_device(settings.device))
        network: OnnxNetwork | TorchScriptNetwork
        if path.suffix in ('.torchscript', '.pt', '.pth'):
            network = TorchScriptNetwork(path, recipe, device, settings.trust_checkpoint)
        else:
            network = OnnxNetwork(path, recipe, device, settings.backend, settings.precision)
        return cls(network, recipe, digest(path), str(device))

    def describe(self) -> dict[str, Any]:
        computed = {'backend': self.network.backend, 'precision': self.network.precision}
        return {'weights': self.weights, 'recipe': asdict(self.recipe), **computed}

    def prepare(self, image: InputImage) -> InputImage:
        from solo_bg.models.foreground_pixels import to_input

        return image.with_prepared(to_input(image.pixels, self.recipe, self.network.fixed))

    def batch_shape(self, image: InputImage) -> Hashable:
        return None  # the network gets one image at a time

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        return [self.find(image, None)[0] for image in images]

    def start_clip(self) -> Callable[[InputImage], Instances]:
        states: Sequence[Any] | None = None
        shape: tuple[int, ...] = ()

        def next_frame(frame: InputImage) -> Instances:
            nonlocal states, shape
            if frame.pixels.shape != shape:  # states fit frames of one size
                states, shape = None, frame.pixels.shape
            instances, states = self.find(frame, states)
            return instances

        return next_frame

    def find(self, image: InputImage, states: Sequence[Any] | None) -> tuple[Instances, Sequence[Any]]:
        """The instances of an image, and the network's states after it."""
        from solo_bg.models.foreground_pixels import downsample_ratio

        given = image.prepared if image.prepared is not None else self.prepare(image).prepared
        output, states = self.network(given, downsample_ratio(given.shape[2:], self.recipe), states)
        return self.make_instances(output, image.pixels.shape[:2]), states

    def make_instances(self, output: Output, size: tuple[int, ...]) -> Instances:
        import torch

        from solo_bg.models.foreground_pixels import to_alpha, to_labels
        from solo_bg.sources.masks import instances_of

        height, width = size
        if len(self.recipe.classes) > 1:
            labels = torch.from_numpy(to_labels(output, self.recipe, (height, width))).to(self.device)
            classes = torch.arange(1, 1 + len(self.recipe.classes), device=self.device)
            return instances_of(labels == classes[:, None, None], self.class_names)
        alpha = torch.from_numpy(to_alpha(output, self.recipe, (height, width))).to(self.device)
        return instances_of((alpha > 127)[None], self.class_names).with_alpha(alpha)


def count_at_once(network: OnnxNetwork | TorchScriptNetwork, recipe: Recipe, device: str) -> int:
    """How many images the network gets at the same time on the CPU.

    Parts of onnxruntime's work use one thread only, and meanwhile another image can use the others.
    """
    import torch

    height, width = network.fixed or (recipe.size, recipe.size)
    small = recipe.resize == 'stretch' and height * width <= SMALL
    if device != 'cpu' or not small or network.backend != 'onnxruntime':
        return 1
    return min(torch.get_num_threads(), AT_ONCE)
