"""A config and a checkpoint -> a callable that finds instances."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from numpy.typing import NDArray

from solo_bg import mmcv_ops
from solo_bg.checkpoint import load_checkpoint, load_weights
from solo_bg.errors import ImageError, SetupError
from solo_bg.instances import Instances
from solo_bg.results import as_instances

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    import mmdet.datasets
    import mmdet.models  # noqa: F401  (fills the registries)
    from mmdet.registry import DATASETS, MODELS
    from mmdet.utils import get_test_pipeline_cfg


class Segmenter:
    """An instance segmenter of mmdet's with its weights, ready to be called.

    Args:
        config: a config file, or mmengine's `Config`. A config file is Python code: run only those you trust.
        checkpoint: its weights.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.
        cfg_options: overrides of the config, as mmdet's `--cfg-options`.

    Attributes:
        class_names: of all classes, in the order of the labels.
        device: where the model runs and where the masks are.

    Raises:
        SetupError: the config, the checkpoint or the device cannot be used.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | torch.device = 'auto',
        cfg_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.config = load_config(config, cfg_options)
        weights = load_checkpoint(checkpoint)
        init_default_scope('mmdet')
        try:
            self.model = MODELS.build(self.config.model)
            self._preprocess = Compose(array_pipeline(self.config))
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError, ImportError) as error:
            raise SetupError(f'the config {config} builds no detector: {error}') from error
        load_weights(self.model, weights.state_dict, checkpoint)
        self.model.to(self.device).eval()
        self.class_names = find_class_names(weights.meta, self.config, count_classes(self.model))

    @torch.no_grad()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Instances]:
        """Find the instances of each image: all that the model's `test_cfg` keeps, best score first.

        Images of one padded shape share a forward pass: SOLO's grid stretches over the padded batch, so a neighbour
        of another shape would change the answers.

        Args:
            images: uint8 (H, W, 3), BGR, of any sizes.

        Returns:
            one `Instances` an image, in order, its masks of the image's own size, on `device`.

        Raises:
            ImageError: an image that the test pipeline cannot use, such as one resized to nothing.
        """
        prepared = [self.preprocess(image) for image in images]
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, item in enumerate(prepared):
            groups[self.padded_shape(item['inputs'])].append(index)
        found: dict[int, Instances] = {}
        for indices in groups.values():
            batch = {key: [prepared[index][key] for index in indices] for key in ('inputs', 'data_samples')}
            samples = self.predict(batch)
            for index, sample in zip(indices, samples, strict=True):
                if 'masks' not in sample.pred_instances:
                    raise SetupError(f'{type(self.model).__name__} gives boxes but no masks; expected a segmenter')
                found[index] = as_instances(sample, images[index].shape[:2], self.class_names)
        return [found[index] for index in range(len(images))]

    def predict(self, batch: dict[str, list[Any]]) -> list[Any]:
        """One forward pass of mmdet's, its `DetDataSample`s."""
        try:
            with quiet_inference():
                return list(self.model.test_step(batch))
        except NotImplementedError as error:  # an operator that mmcv compiles
            raise SetupError(str(error)) from error
        except RuntimeError as error:
            if 'memory' not in str(error):
                raise
            raise ImageError(f'memory ran out in the model: {error}') from error

    def preprocess(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """The config's test pipeline on one image: its `inputs`, uint8 (3, h, w), and `data_samples`."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(f'an image must be uint8 (H, W, 3), got {image.dtype} {image.shape}')
        try:
            prepared: dict[str, Any] = self._preprocess({'img': image, 'img_id': 0})
        except cv2.error as error:
            height, width = image.shape[:2]
            raise ImageError(f'{width}x{height} pixels cannot be brought to the model: {error.err}') from error
        return prepared

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


def load_config(config: str | Path | Config, cfg_options: Mapping[str, Any] | None) -> Config:
    """Read a config file, apply the overrides, and make sure that it is of a model with a test pipeline."""
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise SetupError(f'no config at {config}; expected a file such as configs/solo_bg_tiny.py')
        try:
            config = Config.fromfile(config)
        except Exception as error:  # a config is somebody's Python: whatever it raises is its own mistake
            raise SetupError(f'the config {config} cannot be read: {type(error).__name__}: {error}') from error
    try:
        config.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise SetupError(f'the config takes no such overrides: {error}; got {dict(cfg_options or {})}') from error
    for key in ('model', 'test_dataloader'):
        if not config.get(key):
            raise SetupError(f'the config {config.filename or ""} has no `{key}`; expected a config of an mmdet model')
    return config


def array_pipeline(config: Config) -> list[ConfigDict]:
    """The config's test pipeline, taking an array where it took a file, and no annotations."""
    pipeline = [step for step in get_test_pipeline_cfg(config) if not str(step['type']).endswith('LoadAnnotations')]
    return [ConfigDict(type='mmdet.LoadImageFromNDArray'), *pipeline[1:]]


def count_classes(model: torch.nn.Module) -> int | None:
    """The number of classes that the model's head tells apart, if it says."""
    heads: list[Any] = [getattr(model, name, None) for name in ('mask_head', 'bbox_head', 'panoptic_fusion_head')]
    return next((head.num_classes for head in heads if hasattr(head, 'num_classes')), None)


def find_class_names(meta: Mapping[str, Any], config: Config, count: int | None) -> tuple[str, ...]:
    """Class names from the checkpoint, else from the config's data set; () if there are none of the right number."""
    dataset = config.test_dataloader.dataset
    known_type = DATASETS.get(dataset.get('type', ''))
    sources = [
        {key.lower(): value for key, value in meta.get('dataset_meta', {}).items()}.get('classes'),
        meta.get('CLASSES'),
        dataset.get('metainfo', {}).get('classes'),
        getattr(known_type, 'METAINFO', {}).get('classes'),
    ]
    for names in sources:
        if names and count in (None, len(names)):
            return tuple(names)
    return ()


class quiet_inference(warnings.catch_warnings):
    """Silences torch's notice about mmdet's use of `meshgrid`, by its text."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings('ignore', message='torch.meshgrid')
