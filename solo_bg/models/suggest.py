"""Which config would fit given weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from solo_bg import bundled
from solo_bg.errors import SetupError
from solo_bg.models.mismatch import as_options, class_overrides, compare

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIGS = bundled.ROOT / 'configs'
HEADS = {  # the name of a weight that only this head has -> the head, and mmdet's configs that use it
    'mask_head.kernel_convs.': ('SOLOV2Head', 'solov2/*'),
    'mask_head.mask_convs_x.': ('DecoupledSOLOHead', 'solo/decoupled-solo_*'),
    'mask_head.foreground.': ('ForegroundDecoupledSOLOLightHead', 'solo/decoupled-solo-light_*'),
    'mask_head.conv_mask_list_x.': ('DecoupledSOLOLightHead', 'solo/decoupled-solo-light_*'),
    'mask_head.conv_mask_list.': ('SOLOHead', 'solo/solo_*'),
}
RESNET_101 = {'model.backbone.depth': 101}
DEFORMABLE = {
    'model.backbone.dcn.type': 'DCN',
    'model.backbone.dcn.fallback_on_stride': False,
    'model.backbone.stage_with_dcn': (False, True, True, True),
    'model.mask_head.dcn_cfg.type': 'DCN',
    'test_dataloader.dataset.pipeline.1.scale': (852, 512),
}


def fitting_config(given: Mapping[str, Tensor]) -> str | None:
    """The config that these weights fit, as one would type it: a SOLO of mmdet's or a config of this repository.

    Builds the models in question without memory for their weights, which takes a second or two.

    Returns:
        such as `solo_r50_fpn_1x_coco with --cfg-options model.mask_head.num_classes=3`; None if no config fits.
    """
    marks = (mark for mark in HEADS if any(name.startswith(mark) for name in given))
    if not (mark := next(marks, None)):
        return None
    head, pattern = HEADS[mark]
    tried = []
    for name, config in bundled_configs(pattern):
        if may_fit(config.model, head, given):
            tried.append((name, config))
            if (advice := advise(name, config, {}, given)) is not None:
                return advice
    changes = variant(given)
    changed = (advise(name, config, changes, given) for name, config in tried if changes)
    return next((advice for advice in changed if advice is not None), None)


def advise(name: str, config: Config, changes: Mapping[str, Any], given: Mapping[str, Tensor]) -> str | None:
    """How to type this config with `changes` and the weights' number of classes; None if the weights do not fit it."""
    config.merge_from_dict(dict(changes))
    own = empty_weights(config)
    misfit = compare(own, given)
    overrides = class_overrides(config, own, given, misfit) if any(misfit) else {}
    if overrides is None:
        return None
    options = {**changes, **overrides}
    return f'{name} with {as_options(options)}' if options else name


def bundled_configs(pattern: str) -> Iterator[tuple[str, Config]]:
    """Name or path -> config: mmdet's of this pattern, those with published weights first, then this repository's."""
    from mmengine.config import Config

    from solo_bg.models import zoo

    try:
        listed = zoo.models('solo*')
        files = [path for path in zoo.config_files(pattern) if 'lsj' not in path.name]  # those pad to a square
    except SetupError:  # an mmdet without metafiles
        listed, files = {}, []
    known = {path.stem: path for path in sorted(files, key=lambda path: path.stem not in listed)}
    known |= {f'configs/{path.name}': path for path in sorted(CONFIGS.glob('solo_bg_*.py'))}
    return ((name, Config.fromfile(path)) for name, path in known.items())


def may_fit(model: Any, head: str, given: Mapping[str, Tensor]) -> bool:
    """A quick check: the head, its depth, and the channels that the neck takes from the backbone agree."""
    depth = sum(name.startswith('mask_head.cls_convs.') and name.endswith('.gn.weight') for name in given)
    last = given.get('neck.lateral_convs.3.conv.weight')
    same_head = model.mask_head.type == head and model.mask_head.get('stacked_convs') == depth
    return same_head and last is not None and last.shape[1] == model.neck.in_channels[-1]


def variant(given: Mapping[str, Tensor]) -> dict[str, Any]:
    """Overrides for models of the original repository that mmdet has no config for."""
    offsets = [len(value) for name, value in given.items() if name.endswith('conv_offset.weight')]
    deep = 'backbone.layer3.22.conv3.weight' in given
    return {**(RESNET_101 if deep else {}), **(DEFORMABLE if 18 in offsets else {})}


def empty_weights(config: Config) -> dict[str, Tensor]:
    """A model's weights by name, with shapes and without numbers."""
    from mmengine.registry import init_default_scope

    from solo_bg.models.mmcv_ops import quiet_imports

    with quiet_imports():
        import mmdet.models  # noqa: F401  (fills the registry)
        from mmdet.registry import MODELS

    init_default_scope('mmdet')
    with torch.device('meta'):
        return dict(MODELS.build(config.model).state_dict())
