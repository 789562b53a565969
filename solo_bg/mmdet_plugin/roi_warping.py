"""Bilinear sampling between boxes and images, as Multi-task Network Cascades do it (https://arxiv.org/abs/1512.04412)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def warp_rois(features: Tensor, rois: Tensor, size: int, stride: float) -> Tensor:
    """Crop boxes out of feature maps and resize them: RoI warping (section 3.1 of the paper).

    Each value is sampled at the centre of its cell of the box, with bilinear interpolation. The result can be
    differentiated with respect to the features and to the boxes.

    Args:
        features: float (B, C, H, W).
        rois: float (N, 5): index in the batch, ascending, then the box as xyxy in pixels of the model's input.
        size: height and width of the result.
        stride: pixels of the input for each pixel of the features.

    Returns:
        (N, C, size, size), float64 if the features are float64, else float32. Beyond its edges, a feature map repeats
        its border.
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    features, boxes = features.to(dtype), rois[:, 1:].to(dtype)
    cells = (torch.arange(size, device=rois.device, dtype=dtype) + 0.5) / size
    height, width = features.shape[-2:]
    x = (boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * cells) * (2 / (stride * width)) - 1  # (N, size)
    y = (boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * cells) * (2 / (stride * height)) - 1
    grid = torch.stack([x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    counts = [int((rois[:, 0] == image).sum()) for image in range(len(features))]
    warped = [features.new_zeros(0, features.shape[1], size, size)]
    for image, points in enumerate(torch.split(grid, counts)):
        if len(points):  # one call for all boxes of an image, stacked below one another
            values = F.grid_sample(
                features[image : image + 1], points.flatten(0, 1)[None], padding_mode='border', align_corners=False
            )
            warped.append(values[0].reshape(-1, len(points), size, size).transpose(0, 1))
    return torch.cat(warped)


def paste_mean(
    masks: Tensor, boxes: Tensor, weights: Tensor, size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], Tensor]:
    """The weighted mean of soft masks, pixel by pixel, each enlarged bilinearly to its box. Outside its box a mask
    is 0.

    Args:
        masks: float (k, m, m), at least one.
        boxes: float (k, 4), xyxy in pixels of the image.
        weights: float (k,).
        size: height and width of the image.

    Returns:
        the box of the image, xyxy and half-open, around all boxes; and the mean inside it, float (h, w).
    """
    first, end = boxes[:, :2].amin(0).tolist(), boxes[:, 2:].amax(0).tolist()
    x0, y0 = (max(0, math.floor(side)) for side in first)
    x1, y1 = min(size[1], math.ceil(end[0])), min(size[0], math.ceil(end[1]))
    x1, y1 = max(x0, x1), max(y0, y1)
    down = hat_weights(boxes[:, 1], boxes[:, 3], masks.shape[1], y0, y1)  # (k, h, m)
    across = hat_weights(boxes[:, 0], boxes[:, 2], masks.shape[2], x0, x1)  # (k, w, m)
    share = (weights / weights.sum())[:, None, None]
    # one product of two long matrices sums over the masks, so that no mask is held at the image's size
    left = (down * share).transpose(0, 1).flatten(1)  # (h, k * m)
    right = (masks @ across.transpose(1, 2)).flatten(0, 1)  # (k * m, w)
    return (x0, y0, x1, y1), left @ right


def hat_weights(start: Tensor, end: Tensor, cells: int, first: int, last: int) -> Tensor:
    """Weights that enlarge `cells` values to the stretch from `start` to `end`, at the centres of pixels.

    Args:
        start, end: float (k,), in pixels of the image.
        first, last: the pixels, half-open.

    Returns:
        (k, last - first, cells); 0 for pixels whose centre is outside the stretch.
    """
    pixels = torch.arange(first, last, device=start.device, dtype=start.dtype) + 0.5
    position = (pixels - start[:, None]) / (end - start)[:, None].clamp(min=1e-6) * cells - 0.5
    inside = (pixels >= start[:, None]) & (pixels <= end[:, None])
    distance = position.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=start.device, dtype=start.dtype)
    return (1 - distance.abs()).clamp(min=0) * inside[..., None]
