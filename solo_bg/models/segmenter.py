"""A config and a checkpoint -> a callable that finds instances."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.core.instances import Instances
from solo_bg.disk.read import digest
from solo_bg.errors import ImageError, NotFiniteError, SetupError, ran_out_of_memory
from solo_bg.models.backend import choose_backend
from solo_bg.models.checkpoint import load_checkpoint
from solo_bg.models.class_names import count_classes, find_class_names
from solo_bg.models.config import array_pipeline, canonical, choose_config, name_of
from solo_bg.models.detector import build_detector, explain_errors, find_instances, quiet_model, watch_numbers
from solo_bg.models.device import PRECISIONS, choose_device, choose_precision
from solo_bg.models.find import find_weights
from solo_bg.models.lazy_head import choose_head
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.models.weights import load_weights
from solo_bg.solo.decode import smaller_steps
from solo_bg.solo.precision import full_float32

with quiet_imports():
    from mmengine.config import Config
    from mmengine.dataset import Compose

    from solo_bg.solo.optimise import optimise


class Segmenter:
    """An instance segmenter of mmdet with its weights, ready to be called.

    Args:
        config: a config file, the name of an mmdet model, mmengine's `Config`, or `auto` for the config that the
            checkpoint carries. A config file is Python code: run only those you trust. `auto` runs nothing.
        checkpoint: the weights' file, or `auto` for those that mmdet publishes, which are downloaded.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.
        cfg_options: overrides of the config: a dict, or `KEY=VALUE` texts as `--cfg-options` takes them.
        precision: `fp32`, `bf16`, `fp16` (the last two under autocast), or `auto`: fp32 on the CPU, fp16 on CUDA.
        lazy: use this package's head in place of mmdet's own SOLO heads: the same results except for rounding, several
            times faster. Heads and detectors derived from mmdet's are never replaced.
        trust_checkpoint: load a checkpoint that holds more than data, and run the code in it.
        backend: what computes the convolutions of a lazy SOLO on the CPU: `torch`, `openvino`, or `auto`, see
            `solo_bg.models.backend.choose_backend`.

    Attributes:
        class_names: the names of all classes, in the order of the labels.
        device: where the model runs and where the masks are.
        precision: `fp32`, `bf16` or `fp16`.
        lazy: whether the lazy head is used.
        backend: `torch` or `openvino`.

    Raises:
        SetupError: the config, the checkpoint, the device or the backend cannot be used.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | torch.device = 'auto',
        cfg_options: Mapping[str, Any] | Sequence[str] | str | None = None,
        precision: str = 'auto',
        lazy: bool = True,
        trust_checkpoint: bool = False,
        backend: str = 'auto',
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.config = choose_config(config, checkpoint, cfg_options, trust_checkpoint)
        self.lazy = choose_head(self.config, lazy)
        self.backend, self.precision = choose_backend(backend, self.precision, self.device, self.lazy)
        self.model = build_detector(self.config)
        with explain_errors(self.config):
            self._preprocess = Compose(array_pipeline(self.config))
        self.checkpoint = Path(find_weights(name_of(config), str(checkpoint)))  # a download comes after the checks
        weights = load_checkpoint(self.checkpoint, trust_checkpoint)
        load_weights(self.model, weights, self.checkpoint, self.config)
        self.model.to(self.device).eval()
        if self.lazy:
            optimise(self.model, self.precision, self.backend)
        self.class_names = find_class_names(weights.meta, self.config, count_classes(self.model))

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Find the instances of each image: all that the model's `test_cfg` keeps, best score first.

        Args:
            images: uint8 (H, W, 3), BGR, of any sizes.

        Returns:
            one `Instances` for each image, in order. The masks have the image's own size and are on `device`.

        Raises:
            ImageError: an image that the test pipeline or the model cannot use.
        """
        if isinstance(images, np.ndarray) and images.ndim == 3:
            raise ImageError('expected a list of images, got one array; for one image give [image]')
        return self.segment([self.prepare(image) for image in images])

    @torch.no_grad()
    def segment(self, prepared: Sequence[dict[str, Any]]) -> list[Instances]:
        """Find the instances of images that went through `prepare`.

        Only images of one padded shape share a forward pass. SOLO's grid stretches over the padded batch, so a
        neighbour of another shape would change the results.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, item in enumerate(prepared):
            groups[self.padded_shape(item['inputs'])].append(index)
        found: dict[int, Instances] = {}
        for indices in groups.values():
            batch = {key: [prepared[index][key] for index in indices] for key in ('inputs', 'data_samples')}
            found.update(zip(indices, self.predict(batch), strict=True))
        return [found[index] for index in range(len(prepared))]

    def predict(self, batch: dict[str, list[Any]]) -> list[Instances]:
        """One forward pass. Where fp16 or bf16 overflows, each image by itself is tried again, if need be in fp32.

        Raises:
            NotFiniteError: fp32 gives NaN or infinity too.
            ImageError: memory ran out; fewer images may fit.
        """
        try:
            return self.try_memory(batch, self.precision)
        except NotFiniteError:
            if self.precision == 'fp32':
                raise
        if len(batch['inputs']) == 1:
            return self.try_memory(batch, 'fp32')
        alone = [{key: [values[index]] for key, values in batch.items()} for index in range(len(batch['inputs']))]
        return [self.predict(one)[0] for one in alone]

    def try_memory(self, batch: dict[str, list[Any]], precision: str) -> list[Instances]:
        """One forward pass. Where memory runs out, an image by itself is tried again with smaller steps."""
        for steps in (nullcontext, smaller_steps) if len(batch['inputs']) == 1 else (nullcontext,):
            try:
                with steps():
                    return self.forward(batch, precision)
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
                reason = str(error)  # the error itself has a traceback, which holds the tensors
            if self.device.type == 'cuda':
                torch.cuda.empty_cache()
        raise ImageError(f'memory ran out in the model: {reason}')

    def forward(self, batch: dict[str, list[Any]], precision: str) -> list[Instances]:
        """One forward pass in the given precision."""
        reduced = precision != 'fp32'
        try:
            with (
                quiet_model(),
                full_float32(),
                torch.autocast(self.device.type, PRECISIONS[precision], enabled=reduced),
            ):
                if self.lazy:
                    return self.find_lazily(batch)
                with watch_numbers(self.model) if self.precision != 'fp32' else nullcontext():
                    return find_instances(self.model, batch, self.class_names)
        except NotImplementedError as error:  # an operator that mmcv compiles
            raise SetupError(str(error)) from error

    def find_lazily(self, batch: dict[str, list[Any]]) -> list[Instances]:
        """Call the parts of the model one by one, and take the instances straight from the lazy head."""
        data = self.model.data_preprocessor(batch, False)
        features = self.model.extract_feat(data['inputs'].contiguous(memory_format=torch.channels_last))
        metas = [sample.metainfo for sample in data['data_samples']]
        found: list[Instances] = self.model.mask_head.find(features, metas, self.class_names)
        return found

    def prepare(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Run the config's test pipeline on one image, uint8 (H, W, 3), BGR. May be called in any thread.

        Returns:
            `inputs`, uint8 (3, h, w), or float32 where the config loads images so; and `data_samples`.

        Raises:
            ImageError: `image` is no such array, or the pipeline cannot use it.
        """
        if not isinstance(image, np.ndarray):
            given = f' {str(image)[:80]!r}' if isinstance(image, (str, Path)) else ''
            raise ImageError(
                f'an image must be an array, uint8 (H, W, 3), BGR; got {type(image).__name__}{given}. '
                'Read a file first, such as by cv2.imread(path), which gives None for a file that it cannot read'
            )
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(f'an image must be uint8 (H, W, 3), got {image.dtype} {image.shape}')
        try:
            prepared: dict[str, Any] = self._preprocess({'img': image, 'img_id': 0})
        except cv2.error as error:
            height, width = image.shape[:2]
            raise ImageError(
                f'the test pipeline cannot process an image of {width}x{height} pixels: {error.err}'
            ) from error
        return prepared

    def describe(self) -> dict[str, Any]:
        """Everything that the masks depend on besides the image."""
        config = hashlib.sha256(canonical(self.config.to_dict()).encode()).hexdigest()
        weights = {'config': config, 'checkpoint': digest(self.checkpoint)}
        return {**weights, 'precision': self.precision, 'lazy': self.lazy, 'backend': self.backend}

    def padded_shape(self, inputs: torch.Tensor) -> tuple[int, int]:
        """Height and width that the model's preprocessor pads one image, (3, h, w), to."""
        divisor = getattr(self.model.data_preprocessor, 'pad_size_divisor', 1)
        height, width = (-(-side // divisor) * divisor for side in inputs.shape[-2:])
        return height, width
