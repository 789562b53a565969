"""Rename weights of the original SOLO repository (mmdet 1.x) for mmdet 3. The numbers stay as they are.

This covers SOLO, Decoupled SOLO, Decoupled Light SOLO and SOLOv2. Tests compare the names and shapes of all 17 files
that the repository's README lists: ResNet-18, 34, 50 and 101, and ResNeXt-101, with and without deformable
convolutions. For the models without deformable convolutions they also compare the results, with heads written for the
tests. The repository's configs count 81 classes with the background; its weights have 80 outputs, as mmdet's have.

Source: the configs and the names in https://github.com/WXinlong/SOLO.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')

TELLTALE = re.compile(r'bbox_head\.(ins_convs|cate_convs|d?solo_)')  # not `kernel_convs`, which RTMDet-Ins has too
HEAD = re.compile(r'bbox_head\.(ins_convs|cate_convs|kernel_convs|d?solo_(?:ins_list|cate|kernel))(_[xy])?\.')
FEATURES = re.compile(r'mask_feat_head\.(conv_pred\.)?(?(1)0\.)')
NAMES = {'ins_convs': 'mask_convs', 'cate_convs': 'cls_convs', 'kernel_convs': 'kernel_convs'}
NAMES |= {'ins_list': 'conv_mask_list', 'cate': 'conv_cls', 'kernel': 'conv_kernel'}


def is_original(state_dict: Mapping[str, T]) -> bool:
    """Whether these weights have the original repository's names."""
    return any(TELLTALE.match(name) for name in state_dict)


def from_original(state_dict: Mapping[str, T]) -> dict[str, T]:
    """The original repository's weights under mmdet's names; any other weights as they are.

    Only names of the head change: `bbox_head`, and in SOLOv2 `mask_feat_head`.
    """
    if not is_original(state_dict):
        return dict(state_dict)
    return {
        FEATURES.sub(r'mask_head.mask_feature_head.\1', HEAD.sub(rename, name)): value
        for name, value in state_dict.items()
    }


def rename(found: re.Match[str]) -> str:
    """The name that mmdet gives to a part of the head, for a match of `HEAD`."""
    kind = re.sub(r'^d?solo_', '', found[1])
    return f'mask_head.{NAMES[kind]}{found[2] or ""}.'
