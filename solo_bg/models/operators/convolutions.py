"""mmcv's operators whose sampling positions the network predicts. For prediction only: they have no derivatives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_bg.models.operators.sampling import sample
from solo_bg.models.operators.torchvision_ops import can_compute, torchvision_ops


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Compute a deformable convolution (Dai et al. 2017) and write it into `output`.

    See `deformed_convolution` for shapes. `columns`, `ones` and `im2col_step` are not used.
    """
    geometry = (dH, dW), (padH, padW), (dilationH, dilationW)
    output.copy_(deformed_convolution(input, weight, offset, None, *geometry, group, deformable_group))


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Compute a modulated deformable convolution (Zhu et al. 2019) and write it into `output`.

    See `deformed_convolution` for shapes. `ones` and `columns` are not used.
    """
    geometry = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)
    result = deformed_convolution(input, weight, offset, mask, *geometry, group, deformable_group)
    output.copy_(result + bias[:, None, None] if with_bias else result)


def deformed_convolution(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    deform_groups: int,
) -> Tensor:
    """Convolve with a kernel whose sampling points are moved at every position.

    Args:
        input: float (B, C, H, W); zero outside.
        weight: float (D, C / groups, kh, kw).
        offset: float (B, deform_groups * kh * kw * 2, h, w): how far each point is moved, y then x, in pixels.
        mask: float (B, deform_groups * kh * kw, h, w): a factor for each point; None for 1.
        stride, padding, dilation: (y, x), in pixels.

    Returns:
        float (B, D, h, w).
    """
    if can_compute(input, weight, offset, *(() if mask is None else (mask,))):
        found: Tensor = torchvision_ops().deform_conv2d(input, offset, weight, None, stride, padding, dilation, mask)
        return found
    batch, (height, width), (kh, kw) = len(input), offset.shape[-2:], weight.shape[-2:]
    dtype = torch.promote_types(offset.dtype, torch.float32)
    moved = offset.reshape(batch * deform_groups, kh, kw, 2, height, width).to(dtype)
    row, column, tap_y, tap_x = (torch.arange(n, device=offset.device, dtype=dtype) for n in (height, width, kh, kw))
    y = moved[:, :, :, 0] + (row * stride[0] - padding[0])[:, None] + (tap_y * dilation[0])[:, None, None, None]
    x = moved[:, :, :, 1] + (column * stride[1] - padding[1]) + (tap_x * dilation[1])[:, None, None]
    by_group = input.reshape(batch * deform_groups, -1, *input.shape[-2:])
    sampled = sample(by_group, y.flatten(1, 3), x.flatten(1, 3), 'zeros')  # (B * deform_groups, -1, kh * kw * h, w)
    if mask is not None:
        sampled *= mask.reshape(batch * deform_groups, 1, -1, width)
    columns = sampled.to(weight.dtype).view(batch, groups, -1, height * width)
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    return (kernels @ columns).view(batch, len(weight), height, width)


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Upsample with a kernel for every output pixel: CARAFE (Wang et al. 2019).

    Args:
        features: float (B, C, h, w); zero outside.
        masks: float (B, group_size * kernel_size ** 2, h * scale_factor, w * scale_factor), the kernels.
        rfeatures, routput, rmasks: not used.
        output: float (B, C, h * scale_factor, w * scale_factor), overwritten.
    """
    batch, channels, height, width = features.shape
    patches = F.unfold(features, kernel_size, padding=kernel_size // 2)
    patches = patches.view(batch, group_size, channels // group_size, kernel_size**2, height, width)
    kernels = masks.view(batch, group_size, kernel_size**2, height, scale_factor, width, scale_factor)
    output.copy_(torch.einsum('bgckhw,bgkhswt->bgchswt', patches, kernels).reshape(output.shape))


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Compute multi-scale deformable attention with mmcv's own plain torch function, which mmcv uses on the CPU."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    attended: Tensor = multi_scale_deformable_attn_pytorch(
        value, value_spatial_shapes, sampling_locations, attention_weights
    )
    return attended
