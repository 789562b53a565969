"""The original SOLOv2, from its description: its names of weights, its forward pass, its decoding.

Plain and slow, to compare with. Written from the paper (https://arxiv.org/abs/2003.10152) and what the repository does.
"""

import torch
from original_solo import STRIDES, Layer, between_the_ends, branch, coordinates, decode, point_nms, resize
from torch import nn


class Original(nn.Module):
    """Both heads, under the names that they have in the detector.

    Args:
        channels: of the neck, of the towers, within the mask features, and of the mask features.
        dcn: None, DCN or DCNv2; everywhere, or (light) in the last layer of each tower only.
    """

    def __init__(self, classes, channels, depth, grids, dcn=None, light=False):
        super().__init__()
        neck, tower, inner, features = channels
        self.grids = grids
        self.bbox_head = nn.ModuleDict(
            {
                'cate_convs': branch(neck, tower, depth, dcn, not light),
                'kernel_convs': branch(neck + 2, tower, depth, dcn, not light),
                'solo_cate': nn.Conv2d(tower, classes, 3, padding=1),
                'solo_kernel': nn.Conv2d(tower, features, 3, padding=1),
            }
        )
        everywhere = None if light else dcn
        levels = nn.ModuleList()
        for level in range(4):
            inputs = [neck + 2 * (level == 3), *[inner] * (level - 1)]
            levels.append(
                nn.ModuleDict({f'conv{index}': Layer(one, inner, 3, everywhere) for index, one in enumerate(inputs)})
            )
        prediction = nn.Sequential(Layer(inner, features, 1, everywhere))
        self.mask_feat_head = nn.ModuleDict({'convs_all_levels': levels, 'conv_pred': prediction})

    def forward(self, feats):
        """Of one image: masks of all cells (cells, h, w), scores (cells, classes), and the stride of each cell."""
        features = self.features(feats)
        masks, scores, strides = [], [], []
        for stride, feat, grid in zip(STRIDES, between_the_ends(feats), self.grids, strict=True):
            logits, kernels = self.cells(feat, grid)
            masks.append(torch.einsum('kc,chw->khw', kernels, features).sigmoid())
            scores.append(point_nms(logits))
            strides += [stride] * grid**2
        return torch.cat(masks), torch.cat(scores), torch.tensor(strides)

    def features(self, feats):
        """What the kernels are applied to, (channels, h, w), at stride 4: the sum of four levels."""
        total = 0
        for level, (layers, x) in enumerate(zip(self.mask_feat_head.convs_all_levels, feats[:4], strict=True)):
            x = torch.cat([x, *coordinates(x)], 1) if level == 3 else x
            for layer in layers.values():
                x = layer(x)
                x = resize(x, [2 * side for side in x.shape[-2:]]) if level else x
            total = total + x
        return self.mask_feat_head.conv_pred(total)[0]

    def cells(self, feat, grid):
        """A cell's class logits (1, classes, grid, grid), and its kernel, (cells, channels)."""
        placed = resize(torch.cat([feat, *coordinates(feat)], 1), [grid, grid])
        kernel, logits = placed, placed[:, :-2]
        for one, other in zip(self.bbox_head.kernel_convs, self.bbox_head.cate_convs, strict=True):
            kernel, logits = one(kernel), other(logits)
        return self.bbox_head.solo_cate(logits), self.bbox_head.solo_kernel(kernel)[0].flatten(1).T

    def find(self, feats, cut, size):
        """Masks bool (n, H, W), labels, scores, best first."""
        return decode(*self(feats), cut, size)
