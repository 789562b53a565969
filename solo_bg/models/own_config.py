"""The config that mmengine's training writes into a checkpoint (`meta['cfg']`), read without running anything.

A config file is Python code, and so is this text; whoever made the checkpoint could have put anything into it. Two
steps keep it data. The text is parsed, never run: it must assign plain values to names. And every `type` in it must be
the name of a part of an instance segmenter, since mmengine would import and call whatever else a `type` says.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from solo_bg.errors import SetupError
from solo_bg.models import mmcv_ops
from solo_bg.models.checkpoint import load_checkpoint

mmcv_ops.install()
with mmcv_ops.quiet_imports():
    import mmdet.datasets
    import mmdet.models  # noqa: F401  (fills the registries)
    from mmdet import registry as mmdets
    from mmengine import registry as mmengines
    from mmengine.config import Config

    import solo_bg.mmdet_plugin.cascade_stages
    import solo_bg.mmdet_plugin.class_agnostic
    import solo_bg.mmdet_plugin.deepmask
    import solo_bg.mmdet_plugin.foreground_unet
    import solo_bg.mmdet_plugin.instance_fcn
    import solo_bg.mmdet_plugin.lazy_solo
    import solo_bg.mmdet_plugin.mnc
    import solo_bg.mmdet_plugin.pixel_embeddings  # noqa: F401

LEFT_OUT = ('_scope_', 'init_cfg', 'pretrained')  # the last two name weights to start a training from
REGISTRIES = (
    *(mmdets.MODELS, mmdets.TASK_UTILS, mmdets.TRANSFORMS, mmdets.DATASETS),
    *(mmengines.MODELS, mmengines.TASK_UTILS, mmengines.TRANSFORMS),
)
MODULES = (  # modules whose classes compute with the pixels they get; none reads files, weights or names of models
    *(f'mmdet.models.{part}.' for part in ('backbones', 'data_preprocessors', 'dense_heads', 'detectors', 'layers')),
    *(f'mmdet.models.{part}.' for part in ('losses', 'necks', 'roi_heads', 'seg_heads', 'task_modules')),
    *('mmdet.datasets.', 'mmcv.cnn.bricks.', 'mmcv.ops.', 'mmcv.transforms.', 'mmengine.utils.dl_utils.'),
    *('torch.nn.', 'solo_bg.mmdet_plugin.'),
)
EXCLUDED = (  # exceptions: they load weights, configs or language models, or evaluate a text
    *('mmdet.models.detectors.kd_one_stage', 'mmdet.models.detectors.lad', 'mmdet.models.task_modules.tracking'),
    *('mmdet.models.dense_heads.atss_vlfusion_head', 'mmdet.datasets.transforms.text_transformers'),
)
UNREGISTERED = ('RoIAlign', 'SimpleRoIAlign', 'conv', 'interpolation_conv', 'last_conv', 'nms', 'soft_nms')


def config_in(meta: Mapping[str, Any], path: str | Path) -> Config:
    """The model and the test data set of the config that a checkpoint carries; the rest concerns training.

    Args:
        meta: of the checkpoint.
        path: of the checkpoint, for messages.

    Raises:
        SetupError: there is no config in it, or one that cannot be read as data.
    """
    text = meta.get('cfg')
    if not isinstance(text, str):
        raise SetupError(f'{path} carries no config; give the config file that belongs to it as CONFIG')
    try:
        values = read_assignments(text)
        data = values.get('test_dataloader')
        dataset = checked(data.get('dataset')) if isinstance(data, dict) else None
        return Config({'model': checked(values.get('model')), 'test_dataloader': {'dataset': dataset}})
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SetupError(
            f'the config in {path} cannot be read without running code: {error}. Give a config file as CONFIG'
        ) from error


def offer(checkpoint: str | Path) -> str:
    """A hint for messages: how to use the config in the checkpoint, if it carries one; else nothing."""
    with suppress(SetupError):
        if load_checkpoint(checkpoint).meta.get('cfg'):
            return f'. {checkpoint} carries the config that it was trained with: give auto as CONFIG to use it'
    return ''


def read_assignments(text: str) -> dict[str, Any]:
    """`name = value` lines -> name -> value. Raises ValueError for any other statement."""
    values = {}
    for line in ast.parse(text).body:
        if not (isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name)):
            raise ValueError(f'line {line.lineno} is not of the form `name = value`')
        values[line.targets[0].id] = literal(line.value)
    return values


def literal(node: ast.expr) -> Any:
    """The value of an expression of numbers, texts, lists, tuples, dicts and `dict(...)`; else ValueError."""
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {literal(key): literal(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [literal(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Call) and is_dict_of_words(node):
        return {str(word.arg): literal(word.value) for word in node.keywords}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise ValueError(f'line {node.lineno} has {ast.unparse(node)[:60]!r}, which is no plain value') from error


def is_dict_of_words(node: ast.Call) -> bool:
    """Whether a call is `dict(name=value, ...)`."""
    named = isinstance(node.func, ast.Name) and node.func.id == 'dict'
    return named and not node.args and all(word.arg for word in node.keywords)


def checked(value: Any) -> Any:
    """The value without what training starts from, every `type` in it checked. Raises ValueError for a bad one."""
    if isinstance(value, dict):
        if value.get('_scope_', 'mmdet') != 'mmdet':  # which a config inherited as `mmdet::...` has
            raise ValueError(f'its _scope_ {value["_scope_"]!r} is another library than mmdet')
        kept = {key: checked(item) for key, item in value.items() if key not in LEFT_OUT}
        return {**kept, 'type': known_type(value['type'])} if 'type' in value else kept
    return type(value)(checked(item) for item in value) if isinstance(value, (list, tuple)) else value


def known_type(name: Any) -> str:
    """The name of a registered part of a segmenter, without the module before it. Raises ValueError for others."""
    bare = name.rpartition('.')[2] if isinstance(name, str) else ''
    if name in UNREGISTERED:
        return bare
    found = next((registry.module_dict[bare] for registry in REGISTRIES if bare in registry.module_dict), None)
    place = f'{getattr(found, "__module__", "")}.'
    if not place.startswith(MODULES) or place.startswith(EXCLUDED):
        raise ValueError(f'its type {name!r} is not known as a part of an instance segmenter')
    return bare
