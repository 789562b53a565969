"""A model made faster for prediction without changing what it computes, rounding aside."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmdet.models.necks import FPN
from torch import nn

from solo_bg.solo.compiled import compile_convolutions
from solo_bg.solo.winograd import replace_convolutions


def optimise(model: Any, precision: str, backend: str = 'torch') -> None:
    """Rearrange a lazy SOLO for prediction, in place. Afterwards it can be neither trained nor saved.

    Batch norm is folded into the backbone's convolutions. The head's halving of the finest feature map is folded into
    the neck's last convolution. Memory is laid out channels last. In float32 on the CPU, where torch computes 3x3
    convolutions directly, `WinogradConv2d` replaces them. With `openvino`, OpenVINO computes the convolutions.

    Args:
        model: mmdet's `SOLO` with a lazy head and its weights, on its device.
        precision: `fp32`, `bf16` or `fp16`; for OpenVINO one of `openvino_precisions`.
        backend: `torch`, or `openvino` for a model on the CPU.

    Raises:
        SetupError: OpenVINO cannot be used, see `compile_convolutions`.
    """
    own_kind = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and type(layer) is not nn.Conv2d]
    if not set(own_kind) & set(model.backbone.modules()):  # standardised convolutions have no fixed weights
        fuse_conv_bn(model.backbone)
    fold_halving(model)
    if backend == 'openvino':
        compile_convolutions(model, precision)
        return
    model.to(memory_format=torch.channels_last)
    for layer in own_kind:  # mmcv's deformable convolutions view their weights as rows
        layer.weight.data = layer.weight.data.contiguous()
    if precision == 'fp32' and next(model.parameters()).device.type == 'cpu':
        for part in (model.backbone, model.neck, *convolution_lists(model.mask_head)):
            replace_convolutions(part)


def convolution_lists(head: nn.Module) -> list[nn.Module]:
    """The class and mask branches without their last convolutions; a lazy head takes rows of those."""
    return [child for name, child in head.named_children() if name.startswith(('cls_convs', 'mask_convs'))]


def fold_halving(model: Any) -> None:
    """Let the neck give the finest feature map at half its size, and tell the head.

    SOLO's heads average each 2x2 pixels of that map, which a 3x3 convolution gives. Both together are one 4x4
    convolution of stride 2, with half the multiplications.
    """
    neck = model.neck
    if type(neck) is not FPN or len(neck.lateral_convs) < 2:  # with one level, further levels are made of the same map
        return
    last = neck.fpn_convs[0]
    plain = type(last.conv) is nn.Conv2d and last.conv.kernel_size == (3, 3) and last.conv.bias is not None
    if last.with_norm or last.with_activation or not plain:
        return
    weight = last.conv.weight.detach().double()
    folded = weight.new_zeros(*weight.shape[:2], 4, 4)
    for y in (0, 1):
        for x in (0, 1):
            folded[:, :, y : y + 3, x : x + 3] += weight / 4
    conv = nn.Conv2d(last.conv.in_channels, last.conv.out_channels, 4, stride=2, padding=1).to(last.conv.weight)
    conv.load_state_dict({'weight': folded, 'bias': last.conv.bias})
    last.conv = conv
    model.mask_head.halved = True
