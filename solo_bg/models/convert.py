"""Weights of the original SOLO repository (mmdet 1.x) under the names that mmdet 3 gives them, the numbers untouched.

SOLO, Decoupled SOLO, Decoupled Light SOLO and SOLOv2. Name by name and shape by shape checked for each of the 17 files
that the repository's README lists: ResNet-18, 34, 50 and 101, ResNeXt-101, with and without deformable convolutions.
Number by number, against heads written down anew, for those without deformable convolutions.
Its configs count 81 classes, the background among them; its weights have 80 outputs, as mmdet's.

Source: the configs and the names in https://github.com/WXinlong/SOLO.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')

TELLTALE = re.compile(r'bbox_head\.(ins_convs|cate_convs|d?solo_)')  # `kernel_convs` alone: RTMDet-Ins has them too
HEAD = re.compile(r'bbox_head\.(ins_convs|cate_convs|kernel_convs|d?solo_(?:ins_list|cate|kernel))(_[xy])?\.')
FEATURES = re.compile(r'mask_feat_head\.(conv_pred\.)?(?(1)0\.)')
NAMES = {'ins_convs': 'mask_convs', 'cate_convs': 'cls_convs', 'kernel_convs': 'kernel_convs'}
NAMES |= {'ins_list': 'conv_mask_list', 'cate': 'conv_cls', 'kernel': 'conv_kernel'}


def is_original(state_dict: Mapping[str, T]) -> bool:
    """Whether these are the original repository's weights."""
    return any(TELLTALE.match(name) for name in state_dict)


def from_original(state_dict: Mapping[str, T]) -> dict[str, T]:
    """The original repository's weights under mmdet's names, and any others as they are.

    Only the head's names change: `bbox_head`, and SOLOv2's `mask_feat_head`.
    """
    if not is_original(state_dict):
        return dict(state_dict)
    return {
        FEATURES.sub(r'mask_head.mask_feature_head.\1', HEAD.sub(rename, name)): value
        for name, value in state_dict.items()
    }


def rename(found: re.Match[str]) -> str:
    kind = re.sub(r'^d?solo_', '', found[1])
    return f'mask_head.{NAMES[kind]}{found[2] or ""}.'
