"""Whether weights fit a model; if not, why, and which model they would fit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from solo_bg.errors import SetupError

if TYPE_CHECKING:
    from mmengine.config import Config

    from solo_bg.models.checkpoint import Checkpoint

# what prediction never uses: a counter of batches, mmdet 2's moving averages, the branch of `foreground_loss`, the
# colours' statistics that mmengine kept in 2022, YOLACT's branch for training by its names in mmdet 2 and 3
HARMLESS = re.compile(
    r'(?:.+\.)?num_batches_tracked|ema_\w+|steps|mask_head\.foreground\..+|data_preprocessor\.(?:mean|std)'
    r'|segm_head\..+|mask_head\.segm_branch\..+'
)
SETTINGS = ('num_classes', 'num_things_classes')
OTHER_CLASSES = ('backbone', 'rpn_head', 'semantic_head')  # whose classes are not the detector's
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'  # of a clone
HEADS = {  # what only the weights of a head have -> the head, and mmdet's configs that name it
    'mask_head.kernel_convs.': ('SOLOV2Head', 'solov2/*'),
    'mask_head.mask_convs_x.': ('DecoupledSOLOHead', 'solo/decoupled-solo_*'),
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


class Misfit(NamedTuple):
    """Names of weights: what the model misses, what it does not know, what has another shape in it."""

    missing: list[str]
    unknown: list[str]
    misshapen: list[str]

    def __str__(self) -> str:
        said = zip(('missing', 'not in the model', 'of another shape'), self, strict=True)
        return '; '.join(f'{len(names)} {how} ({", ".join(names[:3])})' for how, names in said if names)


def compare(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Misfit:
    """A model's own weights against given ones; three empty lists if they fit."""
    return Misfit(
        [name for name in own if name not in given and not HARMLESS.fullmatch(name)],
        [name for name in given if name not in own and not HARMLESS.fullmatch(name)],
        [name for name in own if name in given and own[name].shape != given[name].shape],
    )


def explain(misfit: Misfit, own: Mapping[str, Tensor], given: Checkpoint, config: Config | None) -> str:
    """Why the weights do not fit, and what to do. `config` is the model's, if it is known."""
    overrides = class_overrides(config, own, given.state_dict, misfit) if config else None
    if config and overrides:
        theirs, ours = next(iter(overrides.values())), next(iter(class_settings(config.model).values()))
        return f'it has {theirs} classes, the config {ours}. Where that is meant, give {as_options(overrides)}'
    advice = fitting_config(given.state_dict)
    hints = [f'They fit {advice}' if advice else 'Give the config they were trained with']
    if given.renamed:
        hints.append("They are the original SOLO's, under mmdet's names (as tools/convert_checkpoint.py gives them)")
    elif str(given.meta.get('mmdet_version')).startswith('2.'):
        hints.append('mmdet 2 wrote them, and mmdet 3 calls the layers of some models otherwise')
    return f'of {len(own)} weights {misfit}. {". ".join(hints)}'


def class_settings(node: Any, at: str = 'model') -> dict[str, int]:
    """Where a model's config says how many classes it has: dotted path -> number."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    found = {}
    for key, value in items:
        if key in SETTINGS and isinstance(value, int) and value > 0:
            found[f'{at}.{key}'] = value
        elif key not in OTHER_CLASSES:
            found |= class_settings(value, f'{at}.{key}')
    return found


def class_overrides(
    config: Config, own: Mapping[str, Tensor], given: Mapping[str, Tensor], misfit: Misfit
) -> dict[str, int] | None:
    """The overrides that make the config's number of classes the checkpoint's, if nothing else is different."""
    settings = class_settings(config.model)
    if len(set(settings.values())) != 1 or misfit.missing or misfit.unknown:
        return None
    count = infer_classes(own, given, misfit.misshapen, next(iter(settings.values())))
    return dict.fromkeys(settings, count) if count else None


def infer_classes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], names: list[str], ours: int) -> int | None:
    """How many classes the given weights have, if that alone makes these `names` differ from a model of `ours`.

    The layers of a head have k outputs a class, the background among the classes or not, whatever k.
    """
    possible: set[int] | None = None
    for name in names:
        (here, *rest), (there, *others) = own[name].shape or (0,), given[name].shape or (0,)
        a_class = {more: here // (ours + more) for more in (0, 1) if here % (ours + more) == 0}
        counts = {there // k - more for more, k in a_class.items() if k and there % k == 0}
        possible = counts if possible is None else possible & counts
        if rest != others:
            return None
    return possible.pop() if possible and len(possible) == 1 and any('cls' in name for name in names) else None


def fitting_config(given: Mapping[str, Tensor]) -> str | None:
    """A SOLO of mmdet's or a config of this repository that these weights fit, as one would type it; None if none does.

    Builds the models that come into question without memory for their weights: a second or two.
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
    """How to type this config, changed so and to the number of classes of the weights, if they fit it then."""
    config.merge_from_dict(dict(changes))
    own = empty_weights(config)
    misfit = compare(own, given)
    overrides = class_overrides(config, own, given, misfit) if any(misfit) else {}
    if overrides is None:
        return None
    options = {**changes, **overrides}
    return f'{name} with {as_options(options)}' if options else name


def bundled_configs(pattern: str) -> Iterator[tuple[str, Config]]:
    """Name or path -> config: of mmdet's those of this pattern, with weights of their own first; then ours."""
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
    """Whether what is quickly seen agrees: the head, its depth, and what the neck takes of the backbone."""
    depth = sum(name.startswith('mask_head.cls_convs.') and name.endswith('.gn.weight') for name in given)
    last = given.get('neck.lateral_convs.3.conv.weight')
    same_head = model.mask_head.type == head and model.mask_head.get('stacked_convs') == depth
    return same_head and last is not None and last.shape[1] == model.neck.in_channels[-1]


def variant(given: Mapping[str, Tensor]) -> dict[str, Any]:
    """Overrides that models of the original repository need, for which mmdet has no config."""
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


def as_options(overrides: Mapping[str, Any]) -> str:
    values = (f'{name}={value}'.replace(' ', '') for name, value in overrides.items())
    return f'--cfg-options {" ".join(map(shlex.quote, values))}'
