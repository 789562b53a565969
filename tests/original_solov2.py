"""The original SOLOv2's heads, with the original names of weights: forward pass and decoding.

Plain and slow, for comparison. Written from the paper (https://arxiv.org/abs/2003.10152) and from the behaviour of the
repository.
"""

import torch
from original_solo import STRIDES, Layer, between_the_ends, branch, coordinates, decode, point_nms, resize
from torch import nn


class Original(nn.Module):
    """Both heads, with the names that they have in the detector.

    Args:
        channels: number of channels of the neck, of the towers, inside the mask features, and of the mask features.
        dcn: None, DCN or DCNv2.
        light: only the last layer of each tower is deformable, instead of all layers.
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
        """Predict one image.

        Returns:
            masks of all cells, float (cells, h, w); scores, float (cells, classes); the stride of each cell.
        """
        features = self.features(feats)
        masks, scores, strides = [], [], []
        for stride, feat, grid in zip(STRIDES, between_the_ends(feats), self.grids, strict=True):
            logits, kernels = self.cells(feat, grid)
            masks.append(torch.einsum('kc,chw->khw', kernels, features).sigmoid())
            scores.append(point_nms(logits))
            strides += [stride] * grid**2
        return torch.cat(masks), torch.cat(scores), torch.tensor(strides)

    def features(self, feats):
        """Return the mask features, float (channels, h, w), at stride 4: the sum of four levels."""
        total = 0
        for level, (layers, x) in enumerate(zip(self.mask_feat_head.convs_all_levels, feats[:4], strict=True)):
            x = torch.cat([x, *coordinates(x)], 1) if level == 3 else x
            for layer in layers.values():
                x = layer(x)
                x = resize(x, [2 * side for side in x.shape[-2:]]) if level else x
            total = total + x
        return self.mask_feat_head.conv_pred(total)[0]

    def cells(self, feat, grid):
        """Return the class logits of a level, (1, classes, grid, grid), and its kernels, (cells, channels)."""
        placed = resize(torch.cat([feat, *coordinates(feat)], 1), [grid, grid])
        kernel, logits = placed, placed[:, :-2]
        for one, other in zip(self.bbox_head.kernel_convs, self.bbox_head.cate_convs, strict=True):
            kernel, logits = one(kernel), other(logits)
        return self.bbox_head.solo_cate(logits), self.bbox_head.solo_kernel(kernel)[0].flatten(1).T

    def find(self, feats, cut, size):
        """Return masks, bool (n, H, W), labels and scores, best score first."""
        return decode(*self(feats), cut, size)
