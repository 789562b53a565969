"""Weights of the original SOLO repository (mmdet 1.x) under the names that mmdet 3 gives them, the numbers untouched.

SOLO, Decoupled SOLO and Decoupled Light SOLO, whatever the backbone. Its configs count 81 classes, the background among
them; its weights have 80 outputs, as mmdet's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')

HEAD = re.compile(r'bbox_head\.(ins_convs|cate_convs|d?solo_ins_list|d?solo_cate)(_[xy])?\.')
NAMES = {'ins_convs': 'mask_convs', 'cate_convs': 'cls_convs', 'ins_list': 'conv_mask_list', 'cate': 'conv_cls'}


def is_original(state_dict: Mapping[str, T]) -> bool:
    """Whether these are the original repository's weights."""
    return any(HEAD.match(name) for name in state_dict)


def from_original(state_dict: Mapping[str, T]) -> dict[str, T]:
    """The same weights under mmdet's names; what is not of the head keeps its own."""
    return {HEAD.sub(rename, name): value for name, value in state_dict.items()}


def rename(found: re.Match[str]) -> str:
    kind = re.sub(r'^d?solo_', '', found[1])
    return f'mask_head.{NAMES[kind]}{found[2] or ""}.'
