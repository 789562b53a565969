"""How many classes a model has, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from solo_bg.errors import SetupError
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.registry import DATASETS
    from mmengine.config import Config


def find_class_names(meta: Mapping[str, Any], config: Config, count: int | None) -> tuple[str, ...]:
    """Class names from the checkpoint, else from the config's data set.

    Args:
        meta: of the checkpoint.
        count: the number of classes of the model; None if it is not known.

    Returns:
        the first list of names of the right length; () if there is none.

    Raises:
        SetupError: the checkpoint's classes are no list of names.
    """
    dataset = innermost(config.test_dataloader.get('dataset') or {})
    sources = [
        names_of_dataset(meta.get('dataset_meta')),
        as_names(meta.get('CLASSES'), 'CLASSES'),
        as_names((dataset.get('metainfo') or {}).get('classes'), "the config's metainfo.classes"),
        as_names(classes_of_type(dataset.get('type')), "the data set's METAINFO"),
    ]
    return next((names for names in sources if names and count in (None, len(names))), ())


def innermost(dataset: Any) -> Mapping[str, Any]:
    """The config of the data set inside its wrappers; of several data sets the first."""
    while isinstance(dataset, Mapping):
        inner = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)
        if inner is None:
            return dataset
        dataset = inner
    return {}


def classes_of_type(kind: Any) -> Any:
    """The class names that a kind of data set always has, given its class or the class's name."""
    if isinstance(kind, str) and kind:
        try:
            kind = DATASETS.get(kind)
        except (RuntimeError, KeyError):  # not registered; the model does not need it
            return None
    return (getattr(kind, 'METAINFO', None) or {}).get('classes')


def names_of_dataset(noted: Any) -> tuple[str, ...]:
    """The class names in a checkpoint's `dataset_meta`, which mmengine writes as a dict."""
    if noted is None:
        return ()
    if not isinstance(noted, Mapping):
        raise SetupError(
            f"the checkpoint's dataset_meta is a {type(noted).__name__}; expected a dict with class names under classes"
        )
    texts = {key.lower(): value for key, value in noted.items() if isinstance(key, str)}
    return as_names(texts.get('classes'), 'dataset_meta')


def as_names(names: Any, where: str) -> tuple[str, ...]:
    """Class names as a tuple; one text is one name, as in `classes=('one')`. Raises SetupError for anything else."""
    if names is None:
        return ()
    if isinstance(names, str):
        return (names,)
    if isinstance(names, (list, tuple)) and all(isinstance(name, (str, int)) for name in names):
        return tuple(map(str, names))
    raise SetupError(f'the class names in {where} cannot be read: expected a list of texts, got {str(names)[:80]}')


def count_classes(model: torch.nn.Module) -> int | None:
    """The number of classes of the model's head, if the head says; in a two-stage model, of the second stage."""
    owner = getattr(model, 'roi_head', model)
    heads: list[Any] = [getattr(owner, name, None) for name in ('mask_head', 'bbox_head', 'panoptic_fusion_head')]
    heads = [head[-1] if isinstance(head, torch.nn.ModuleList) and len(head) else head for head in heads]
    return next((head.num_classes for head in heads if hasattr(head, 'num_classes')), None)
