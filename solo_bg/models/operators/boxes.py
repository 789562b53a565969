"""mmcv's operators on boxes, which two-stage segmenters need, in plain torch: NMS and RoIAlign."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from solo_bg.models.operators.sampling import sample
from solo_bg.models.operators.torchvision_ops import can_compute, torchvision_ops

BLOCK = 1024  # boxes compared at once; the overlaps of one block with 10,000 boxes take 41 MB
SAMPLES = 1 << 24  # sampled values held at once, 67 MB
MAX, AVERAGE = 0, 1  # mmcv's pool modes
OUTSIDE = -2.0  # coordinate of the maximum in a box without points: outside the input, where the value is 0


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression: from the best score down, each kept box drops later boxes that overlap it.

    Args:
        boxes: float (N, 4), xyxy in pixels.
        scores: float (N,). Boxes with equal scores keep the given order.
        iou_threshold: a box is dropped if its IoU with a kept box is greater.
        offset: 0, or 1 if x2 and y2 are the last pixels of a box.

    Returns:
        int64 (K,), indices of the kept boxes, best score first.
    """
    boxes = boxes.float()
    if offset == 0 and can_compute(boxes, scores):
        kept_by_torchvision: Tensor = torchvision_ops().nms(boxes, scores, iou_threshold)
        return kept_by_torchvision
    candidates = scores.argsort(descending=True, stable=True)
    kept = [candidates[:0]]
    while len(candidates):
        best, rest = candidates[:BLOCK], candidates[BLOCK:]
        best = best[suppress(box_iou(boxes[best], boxes[best], offset) > iou_threshold)]
        kept.append(best)
        candidates = rest[~(box_iou(boxes[best], boxes[rest], offset) > iou_threshold).any(0)]
    return torch.cat(kept)


def suppress(overlapping: Tensor) -> Tensor:
    """Return which of N boxes, best first, greedy suppression keeps.

    A box is kept if no kept box before it overlaps it. Applying this rule to a guess over and over makes the first box
    right, then the second, and so on, until nothing changes. The number of rounds is the length of the longest chain of
    overlapping boxes, which is small in practice.

    Args:
        overlapping: bool (N, N), whether two boxes overlap too much.

    Returns:
        bool (N,).
    """
    earlier = overlapping.triu(1)
    keep = overlapping.new_ones(len(overlapping))
    while True:
        better = ~(earlier & keep[:, None]).any(0)
        if torch.equal(better, keep):
            return keep
        keep = better


def box_iou(boxes: Tensor, others: Tensor, offset: int = 0) -> Tensor:
    """Intersection over union of xyxy boxes, (N, 4) and (M, 4) -> (N, M); NaN for two empty boxes."""
    corners = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
    common = (corners + offset).clamp(min=0).prod(-1)
    area, other_area = ((one[:, 2:] - one[:, :2] + offset).prod(-1) for one in (boxes, others))
    return common / (area[:, None] + other_area - common)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al. 2017): each bin of a box becomes the mean or the maximum of points sampled in it.

    Args:
        input: float (B, C, H, W).
        rois: float (N, 5): index in the batch, then the box as xyxy in pixels of the image.
        output: float (N, C, aligned_height, aligned_width), overwritten. A box without area gives 0.
        argmax_y, argmax_x: float, shaped as `output`, overwritten: position of the maximum; for pool mode 0 only.
        spatial_scale: scale from pixels of the image to pixels of the input.
        sampling_ratio: points for each bin and direction; 0 for one point per input pixel, rounded up.
        pool_mode: 0 for the maximum, 1 for the mean.
        aligned: the centre of the first pixel is at 0.5 instead of 0, and boxes smaller than a pixel keep their size.
    """
    bins = aligned_height, aligned_width
    if pool_mode == AVERAGE and can_compute(input, rois, output):
        output.copy_(torchvision_ops().roi_align(input, rois, bins, spatial_scale, sampling_ratio, aligned))
        return
    output.zero_()
    argmax_y.fill_(OUTSIDE)
    for chosen, batch, y, x in sampling_points(rois, bins, input.shape[1], spatial_scale, sampling_ratio, aligned):
        values = sample_boxes(input[batch], y, x)  # (n, C, rows, ny, columns, nx)
        if pool_mode == AVERAGE:
            output[chosen] = values.mean((3, 5)).to(output)
            continue
        largest, where = values.transpose(3, 4).flatten(4).max(-1)
        output[chosen] = largest.to(output)
        row, column = where // x.shape[2], where % x.shape[2]
        argmax_y[chosen] = pick(y[:, None, :, None], row).to(argmax_y)
        argmax_x[chosen] = pick(x[:, None, None], column).to(argmax_x)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Compute the derivative of `roi_align_forward` by its input and write it into `grad_input`.

    With the sampled points known, both modes are linear in the input. The derivative is therefore the same for every
    input, and torch computes it at zero.
    """
    with torch.enable_grad():
        input = torch.zeros_like(grad_input, requires_grad=True)
        if pool_mode == AVERAGE:
            output = torch.zeros_like(grad_output)
            unused = output.new_zeros(0)
            geometry = aligned_height, aligned_width, spatial_scale, sampling_ratio, pool_mode, aligned
            roi_align_forward(input, rois, output, unused, unused, *geometry)
        else:
            points = (argmax[:, :, None].flatten(3) for argmax in (argmax_y, argmax_x))  # (N, C, 1, bins)
            output = sample_channels(input, rois[:, 0].long(), *points).view_as(grad_output)
        if output.requires_grad:  # false without boxes
            (gradient,) = torch.autograd.grad(output, input, grad_output)
            grad_input.copy_(gradient)


def sampling_points(
    rois: Tensor, bins: tuple[int, int], channels: int, scale: float, sampling_ratio: int, aligned: bool
) -> Iterator[tuple[Tensor, int, Tensor, Tensor]]:
    """Group boxes that lie in one image and have the same number of points per bin; a group fits into `SAMPLES`.

    Yields:
        indices of the boxes (n,), index of their image, and the points' coordinates in pixels of the input, y (n, rows,
        ny) and x (n, columns, nx). 0 is the centre of the first pixel.
    """
    boxes = rois[:, 1:].to(torch.promote_types(rois.dtype, torch.float32)) * scale - (0.5 if aligned else 0.0)
    start, sides = boxes[:, [1, 0]], boxes[:, [3, 2]] - boxes[:, [1, 0]]  # y, x
    if not aligned:
        sides = sides.clamp(min=1)
    bin_sides = sides / sides.new_tensor(bins)
    counts = bin_sides.ceil().long() if sampling_ratio <= 0 else torch.full_like(bin_sides, sampling_ratio).long()
    kinds = torch.cat([rois[:, :1].long(), counts], 1)
    for batch, *points in set(map(tuple, kinds.tolist())):
        if min(points) <= 0:
            continue
        of_kind = (kinds == kinds.new_tensor([batch, *points])).all(1)
        at_once = max(SAMPLES // (channels * bins[0] * bins[1] * points[0] * points[1]), 1)
        for chosen in torch.split(of_kind.nonzero()[:, 0], at_once):
            first, side = start[chosen, :, None, None], bin_sides[chosen, :, None, None]
            y, x = (first[:, i] + side[:, i] * within(bins[i], points[i], sides) for i in (0, 1))
            yield chosen, batch, y, x


def within(bins: int, points: int, like: Tensor) -> Tensor:
    """Positions of the points of each bin, (bins, points), in units of a bin from the start of the first one."""
    fractions = (torch.arange(points, device=like.device, dtype=like.dtype) + 0.5) / points
    return torch.arange(bins, device=like.device, dtype=like.dtype)[:, None] + fractions


def sample_boxes(input: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample an image (C, H, W) at all pairs of y (n, rows, ny) and x (n, columns, nx).

    Returns:
        (n, C, rows, ny, columns, nx).
    """
    flat_y, flat_x = y.flatten(1)[:, :, None], x.flatten(1)[:, None]
    size = len(y), flat_y.shape[1], flat_x.shape[2]
    values = sample_clamped(input[None], *(one.expand(size).flatten(0, 1)[None] for one in (flat_y, flat_x)))
    return values.view(len(input), *y.shape, *x.shape[1:]).transpose(0, 1)


def sample_channels(input: Tensor, batches: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample each channel of each box's image at its own points, y and x (N, C, 1, points) -> (N, C, 1, points)."""
    values = y.new_zeros(y.shape)
    for batch in set(batches.tolist()):
        chosen = batches == batch
        by_channel = (points[chosen].transpose(0, 1).flatten(1, 2) for points in (y, x))  # (C, n, points)
        values[chosen] = sample_clamped(input[batch][:, None], *by_channel).permute(2, 0, 1, 3).to(values)
    return values


def sample_clamped(input: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """As `sample`; points up to one pixel outside take the value of the border, points farther outside take 0."""
    height, width = input.shape[-2:]
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    return sample(input, y, x, 'border') * inside[:, None]


def pick(points: Tensor, index: Tensor) -> Tensor:
    """Select from the last axis of `points` (n, 1, rows or 1, columns or 1, k) by `index` (n, C, rows, columns)."""
    return points.expand(*index.shape, -1).gather(-1, index[..., None])[..., 0]
