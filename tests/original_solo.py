"""The original SOLO's three heads, with the original names of weights: forward pass and decoding.

Plain and slow, for comparison. Written from the paper (https://arxiv.org/abs/1912.04488) and from the behaviour of the
repository.
"""

import torch
import torch.nn.functional as F
from torch import nn

STRIDES = (8, 8, 16, 32, 32)  # a mask's area must exceed the stride of its level


class Deformable(nn.Conv2d):
    """A layer with the weights of DCN (offsets) or DCNv2 (offsets and a mask), by `kind`. It cannot run."""

    def __init__(self, kind, inputs, outputs, side):
        super().__init__(inputs, outputs, side, bias=False)
        self.conv_offset = nn.Conv2d(inputs, {'DCN': 2, 'DCNv2': 3}[kind] * side**2, side)

    def forward(self, x):
        raise NotImplementedError


class Layer(nn.Module):
    def __init__(self, inputs, outputs, side=3, dcn=None):
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
        self.conv = Deformable(dcn, inputs, outputs, side) if dcn else plain
        self.gn = nn.GroupNorm(32, outputs)

    def forward(self, x):
        return self.gn(self.conv(x)).relu()


def branch(inputs, channels, depth, dcn=None, dcn_everywhere=False):
    """Return the layers of a branch. With `dcn`, only the last one is deformable, as in light heads, or all of them."""
    return nn.ModuleList(
        Layer(inputs if index == 0 else channels, channels, dcn=dcn if dcn_everywhere or index == depth - 1 else None)
        for index in range(depth)
    )


class Head(nn.Module):
    """One of the three heads; `kind` is solo, decoupled or light."""

    def __init__(self, kind, classes, channels, depth, grids, dcn=None):
        super().__init__()
        self.kind, self.grids = kind, grids
        self.cate_convs = branch(channels, channels, depth, dcn)
        if kind == 'decoupled':
            self.ins_convs_x = branch(channels + 1, channels, depth)
            self.ins_convs_y = branch(channels + 1, channels, depth)
        else:
            self.ins_convs = branch(channels + 2, channels, depth, dcn)
        if kind == 'solo':
            self.solo_ins_list = nn.ModuleList(nn.Conv2d(channels, grid**2, 1) for grid in grids)
            self.solo_cate = nn.Conv2d(channels, classes, 3, padding=1)
        else:
            self.dsolo_ins_list_x = nn.ModuleList(nn.Conv2d(channels, grid, 3, padding=1) for grid in grids)
            self.dsolo_ins_list_y = nn.ModuleList(nn.Conv2d(channels, grid, 3, padding=1) for grid in grids)
            self.dsolo_cate = nn.Conv2d(channels, classes, 3, padding=1)

    def forward(self, feats):
        """Predict one image.

        Returns:
            masks of all cells, float (cells, h, w); scores, float (cells, classes); the stride of each cell.
        """
        feats = between_the_ends(feats)
        canvas = [2 * side for side in feats[0].shape[-2:]]
        masks, scores, strides = [], [], []
        for level, (feat, grid) in enumerate(zip(feats, self.grids, strict=True)):
            masks.append(self.masks(feat, level, grid, canvas))
            scores.append(self.scores(feat, grid))
            strides += [STRIDES[level]] * grid**2
        return torch.cat(masks), torch.cat(scores), torch.tensor(strides)

    def masks(self, feat, level, grid, canvas):
        height, width = feat.shape[-2:]
        x, y = coordinates(feat)

        def run(layers, *coordinates):
            out = torch.cat([feat, *coordinates], 1)
            for layer in layers:
                out = layer(out)
            return resize(out, [2 * height, 2 * width])

        def finish(last, out):
            return resize(last(out).sigmoid(), canvas)[0]

        if self.kind == 'solo':
            return finish(self.solo_ins_list[level], run(self.ins_convs, x, y))
        if self.kind == 'light':
            shared = run(self.ins_convs, x, y)
            along_x, along_y = shared, shared
        else:
            along_x, along_y = run(self.ins_convs_x, x), run(self.ins_convs_y, y)
        in_x, in_y = finish(self.dsolo_ins_list_x[level], along_x), finish(self.dsolo_ins_list_y[level], along_y)
        return torch.stack([in_y[row] * in_x[column] for row in range(grid) for column in range(grid)])

    def scores(self, feat, grid):
        out = resize(feat, [grid, grid])
        for layer in self.cate_convs:
            out = layer(out)
        return point_nms((self.solo_cate if self.kind == 'solo' else self.dsolo_cate)(out))


def between_the_ends(feats):
    """Return the five levels with the first one halved and the last one as large as the fourth."""
    first, last = resize(feats[0], [side // 2 for side in feats[0].shape[-2:]]), resize(feats[4], feats[3].shape[-2:])
    return [first, *feats[1:4], last]


def coordinates(feat):
    """Return coordinates from -1 to 1: x, then y, each (1, 1, h, w)."""
    height, width = feat.shape[-2:]
    x = torch.linspace(-1, 1, width).expand(1, 1, height, width)
    return x, torch.linspace(-1, 1, height)[:, None].expand(1, 1, height, width)


def point_nms(logits):
    """Return scores (cells, classes) of logits (1, classes, grid, grid).

    A cell keeps its score if no cell above it, left of it, or above and left of it has a higher one.
    """
    score, grid = logits.sigmoid()[0], logits.shape[-1]
    padded = F.pad(score, (1, 0, 1, 0), value=-1)
    windows = [padded[:, dy : dy + grid, dx : dx + grid] for dy in (0, 1) for dx in (0, 1)]
    return (score * (score == torch.stack(windows).amax(0))).flatten(1).T


def resize(x, size):
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)


def decode(masks, scores, strides, cut, size, score_thr=0.1, mask_thr=0.5, update_thr=0.05, nms_pre=500, most=100):
    """Decode one image, one candidate after the other.

    Returns:
        masks, bool (n, H, W); labels (n,); scores (n,), best first.
    """
    found = []
    for cell, label in (scores > score_thr).nonzero().tolist():
        mask = masks[cell] > mask_thr
        if mask.sum() > strides[cell]:
            found.append((float(scores[cell, label] * masks[cell][mask].mean()), label, cell, mask))
    found = sorted(found, key=lambda one: -one[0])[:nms_pre]
    decayed = []
    for j, (score, label, cell, mask) in enumerate(found):
        factor = 1.0
        for i in range(j):
            if found[i][1] == label:
                own = overlap(found[i][3], mask)
                covered = max(
                    [overlap(found[k][3], found[i][3]) for k in range(i) if found[k][1] == label], default=0.0
                )
                factor = min(factor, float(torch.exp(torch.tensor(-2.0 * (own**2 - covered**2)))))
        if score * factor >= update_thr:
            decayed.append((score * factor, label, cell))
    kept = sorted(decayed, key=lambda one: -one[0])[:most]
    soft = masks[[cell for _, _, cell in kept]][None]
    large = resize(soft, [4 * side for side in masks.shape[-2:]])[..., : cut[0], : cut[1]]
    labels, values = torch.tensor([label for _, label, _ in kept]), torch.tensor([score for score, _, _ in kept])
    return resize(large, size)[0] > mask_thr, labels, values


def overlap(first, second):
    """Return the IoU of two masks."""
    return float((first & second).sum() / (first | second).sum())
