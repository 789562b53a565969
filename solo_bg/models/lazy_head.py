"""Whether a config's SOLO can be computed by this package's lazy heads."""

from __future__ import annotations

from typing import Any

from solo_bg.models import mmcv_ops

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    from mmdet.models.dense_heads import DecoupledSOLOHead, DecoupledSOLOLightHead, SOLOHead
    from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
    from mmdet.registry import MODELS
    from mmengine.config import Config

    from solo_bg.mmdet_plugin.foreground_head import (
        ForegroundDecoupledSOLOLightHead,
        LazyForegroundDecoupledSOLOLightHead,
    )
    from solo_bg.mmdet_plugin.lazy_solo import LazyDecoupledSOLOHead, LazyDecoupledSOLOLightHead, LazySOLOHead

LAZY_HEADS = {
    SOLOHead: LazySOLOHead,
    DecoupledSOLOHead: LazyDecoupledSOLOHead,
    DecoupledSOLOLightHead: LazyDecoupledSOLOLightHead,
    ForegroundDecoupledSOLOLightHead: LazyForegroundDecoupledSOLOLightHead,
}
# The lazy path calls the preprocessor, the backbone, the neck and the head by itself, in place of these methods
REPLACED = ('__call__', 'forward', 'predict', 'extract_feat', 'test_step', 'add_pred_to_datasample', '_run_forward')


def choose_head(config: Config, lazy: bool) -> bool:
    """Name a lazy head in the config in place of mmdet's own head, or the reverse.

    A head or a detector that is derived from mmdet's may compute something else. It stays as it is, and so does the
    head of such a detector.

    Args:
        config: it is changed.
        lazy: choose the lazy head.

    Returns:
        whether the model can be computed lazily.
    """
    head = config.model.get('mask_head') or {}
    kind = class_named(head.get('type'))
    if not lazy:
        mmdets = {ours: theirs for theirs, ours in LAZY_HEADS.items()}
        if kind in mmdets:
            head['type'] = mmdets[kind].__name__
        return False
    if not is_mmdets_solo(config.model) or not (kind in LAZY_HEADS or kind in LAZY_HEADS.values()):
        return False
    if kind in LAZY_HEADS:
        head['type'] = LAZY_HEADS[kind].__name__
    return True


def is_mmdets_solo(model: Any) -> bool:
    """Whether a config's detector computes its predictions as mmdet's `SOLO` does, with mmdet's own methods."""
    kind = class_named(model.get('type'))
    if not (isinstance(kind, type) and issubclass(kind, SingleStageInstanceSegmentor)) or model.get('bbox_head'):
        return False
    return all(getattr(kind, name) is getattr(SingleStageInstanceSegmentor, name) for name in REPLACED)


def class_named(kind: Any) -> Any:
    """The class that a config's `type` stands for: the class itself, or one registered under this name; else None."""
    if not isinstance(kind, str):
        return kind
    try:
        return MODELS.get(kind)
    except (RuntimeError, KeyError):  # building the model says that it is not registered
        return None
