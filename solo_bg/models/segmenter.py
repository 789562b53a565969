"""A config and a checkpoint -> a callable that finds instances."""

from __future__ import annotations

import hashlib
import warnings
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
from solo_bg.core.results import as_instances
from solo_bg.disk.read import digest
from solo_bg.errors import ImageError, SetupError, ran_out_of_memory
from solo_bg.models import mmcv_ops
from solo_bg.models.checkpoint import load_checkpoint, load_weights
from solo_bg.models.config import array_pipeline, choose_head, find_class_names, load_config, parse_cfg_options
from solo_bg.solo.decode import smaller_steps

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    import mmdet.datasets
    import mmdet.models  # noqa: F401  (fills the registries)
    from mmdet.models.detectors.base import BaseDetector
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope

    import solo_bg.mmdet_plugin.lazy_solo  # noqa: F401  (registers the heads)
    from solo_bg.solo.optimise import optimise

# torch's, on how mmdet calls it, and mmdet's, on a loss in training; nothing is wrong
NOTICES = ('torch.meshgrid', 'To copy construct from a tensor', 'Default ``avg_non_ignore``')
PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class Segmenter:
    """An instance segmenter of mmdet's with its weights, ready to be called.

    Args:
        config: a config file, or mmengine's `Config`. A config file is Python code: run only those you trust.
        checkpoint: its weights.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.
        cfg_options: overrides of the config, as mmdet's `--cfg-options`: a dict, or `KEY=VALUE` texts.
        precision: `fp32`, `bf16`, `fp16` (the last two under autocast), or `auto`: fp32 on the CPU, fp16 on CUDA.
        lazy: use this package's head for a config that names one of mmdet's SOLO heads: the same answers, rounding
            aside, several times faster. False gives mmdet's own.
        trust_checkpoint: load a checkpoint that holds more than data, and run what is in it.

    Attributes:
        class_names: of all classes, in the order of the labels.
        device: where the model runs and where the masks are.
        precision: `fp32`, `bf16` or `fp16`.
        lazy: whether the head is one of ours.

    Raises:
        SetupError: the config, the checkpoint or the device cannot be used.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | torch.device = 'auto',
        cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
        precision: str = 'auto',
        lazy: bool = True,
        trust_checkpoint: bool = False,
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.config = load_config(config, parse_cfg_options(cfg_options))
        self.checkpoint = Path(checkpoint)
        self.lazy = choose_head(self.config, lazy)
        weights = load_checkpoint(checkpoint, trust_checkpoint)
        init_default_scope('mmdet')
        try:
            with quiet_model():
                self.model = MODELS.build(self.config.model)
            self._preprocess = Compose(array_pipeline(self.config))
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError, ImportError) as error:
            name = self.config.filename or 'given'
            raise SetupError(f'the config {name} builds no detector: {error}; expected one of mmdet 3') from error
        check_gives_masks(self.model)
        load_weights(self.model, weights, checkpoint, self.config)
        self.model.to(self.device).eval()
        if self.lazy:
            optimise(self.model, self.precision)
        self.class_names = find_class_names(weights.meta, self.config, count_classes(self.model))

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Find the instances of each image: all that the model's `test_cfg` keeps, best score first.

        Args:
            images: uint8 (H, W, 3), BGR, of any sizes.

        Returns:
            one `Instances` an image, in order, its masks of the image's own size, on `device`.

        Raises:
            ImageError: an image that the test pipeline cannot use, such as one resized to nothing.
        """
        return self.segment([self.prepare(image) for image in images])

    @torch.no_grad()
    def segment(self, prepared: Sequence[dict[str, Any]]) -> list[Instances]:
        """Find the instances of images that went through `prepare`.

        Images of one padded shape share a forward pass: SOLO's grid stretches over the padded batch, so a neighbour
        of another shape would change the answers.
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
        """One forward pass. Where memory runs out, an image by itself is tried again with smaller steps.

        Raises:
            ImageError: memory ran out all the same; fewer images may fit.
        """
        for steps in (nullcontext, smaller_steps) if len(batch['inputs']) == 1 else (nullcontext,):
            try:
                with steps():
                    return self.forward(batch)
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
                reason = str(error)  # not the error itself: its traceback holds the tensors
            if self.device.type == 'cuda':
                torch.cuda.empty_cache()
        raise ImageError(f'memory ran out in the model: {reason}')

    def forward(self, batch: dict[str, list[Any]]) -> list[Instances]:
        dtype, reduced = PRECISIONS[self.precision], self.precision != 'fp32'
        try:
            with quiet_model(), full_float32(), torch.autocast(self.device.type, dtype, enabled=reduced):
                return self.find_lazily(batch) if self.lazy else self.find(batch)
        except NotImplementedError as error:  # an operator that mmcv compiles
            raise SetupError(str(error)) from error

    def find_lazily(self, batch: dict[str, list[Any]]) -> list[Instances]:
        """Ours: instances straight from the head."""
        data = self.model.data_preprocessor(batch, False)
        features = self.model.extract_feat(data['inputs'].contiguous(memory_format=torch.channels_last))
        metas = [sample.metainfo for sample in data['data_samples']]
        found: list[Instances] = self.model.mask_head.find(features, metas, self.class_names)
        return found

    def find(self, batch: dict[str, list[Any]]) -> list[Instances]:
        """mmdet's: its `DetDataSample`s as `Instances`."""
        found = []
        for sample in self.model.test_step(batch):
            if 'masks' not in sample.get('pred_instances', ()):
                given = ', '.join(predicted(sample))
                raise SetupError(
                    f'{type(self.model).__name__} gives {given} but no masks of instances; expected a segmenter '
                    '(a panoptic one with model.test_cfg.instance_on=True)'
                )
            found.append(best_first(as_instances(sample, sample.ori_shape[:2], self.class_names)))
        return found

    def prepare(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """The config's test pipeline on one image, uint8 (H, W, 3), BGR. Any thread may do it ahead of `segment`.

        Returns:
            `inputs`, uint8 or, where the config loads images so, float32 (3, h, w), and `data_samples`.

        Raises:
            ImageError: not such an image, or one that the pipeline cannot use.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(f'an image must be uint8 (H, W, 3), got {image.dtype} {image.shape}')
        try:
            prepared: dict[str, Any] = self._preprocess({'img': image, 'img_id': 0})
        except cv2.error as error:
            height, width = image.shape[:2]
            raise ImageError(f'{width}x{height} pixels cannot be brought to the model: {error.err}') from error
        return prepared

    def describe(self) -> dict[str, Any]:
        """Everything that the masks depend on besides the image."""
        config = hashlib.sha256(self.config.pretty_text.encode()).hexdigest()
        weights = {'config': config, 'checkpoint': digest(self.checkpoint)}
        return {**weights, 'precision': self.precision, 'lazy': self.lazy}

    def padded_shape(self, inputs: torch.Tensor) -> tuple[int, int]:
        """Height and width that the model's preprocessor pads one image, (3, h, w), to."""
        divisor = getattr(self.model.data_preprocessor, 'pad_size_divisor', 1)
        height, width = (-(-side // divisor) * divisor for side in inputs.shape[-2:])
        return height, width


def choose_device(device: str | torch.device) -> torch.device:
    """`auto` or a device's name -> the device. Asking for CUDA where there is none is an error."""
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
    """`auto` or a precision's name -> the precision."""
    if precision == 'auto':
        return 'fp16' if device.type == 'cuda' else 'fp32'
    if precision not in PRECISIONS:
        raise SetupError(f'no precision is called {precision!r}; expected auto, {", ".join(PRECISIONS)}')
    return precision


def check_gives_masks(model: torch.nn.Module) -> None:
    """Raise SetupError for what is no detector, or has no part that makes masks."""
    kind = type(model).__name__
    if not isinstance(model, BaseDetector):
        raise SetupError(f'the config builds a {kind}, which is no detector; expected an instance segmenter of mmdet')
    if not any('mask' in name or 'panoptic' in name for name, _ in model.named_modules()):
        raise SetupError(f'{kind} gives boxes but no masks; expected an instance segmenter, such as SOLO or Mask R-CNN')


def predicted(sample: Any) -> list[str]:
    """What mmdet predicted of an image: `bboxes`, `scores`, `panoptic_seg` ..."""
    names = [name.removeprefix('pred_') for name in sample.keys() if name.startswith('pred_')]  # noqa: SIM118
    return sorted([*sample.get('pred_instances', {}).keys(), *(name for name in names if name != 'instances')])


def best_first(instances: Instances) -> Instances:
    """In the order of their scores, which not every family of mmdet's keeps to (Mask2Former, Mask Scoring R-CNN)."""
    order = instances.scores.argsort(descending=True, stable=True)
    return instances if (order.diff() == 1).all() else instances[order]


def count_classes(model: torch.nn.Module) -> int | None:
    """The number of classes that the model's head tells apart, if it says; of two-stage models the second stage's."""
    owner = getattr(model, 'roi_head', model)
    heads: list[Any] = [getattr(owner, name, None) for name in ('mask_head', 'bbox_head', 'panoptic_fusion_head')]
    heads = [head[-1] if isinstance(head, torch.nn.ModuleList) and len(head) else head for head in heads]
    return next((head.num_classes for head in heads if hasattr(head, 'num_classes')), None)


class quiet_model(warnings.catch_warnings):
    """Silences `NOTICES`, by their texts."""

    def __enter__(self) -> None:
        super().__enter__()
        for text in NOTICES:
            warnings.filterwarnings('ignore', message=text)


def full_float32() -> Any:
    """float32 means float32: on CUDA, convolutions would round to TF32 by default."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False)
