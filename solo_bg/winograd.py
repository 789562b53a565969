"""3x3 convolutions with fewer multiplications, for float32 on the CPU, where torch multiplies them all out.

Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4.1): two by two
outputs take 16 multiplications instead of 36. The transforms are additions alone: rounding is of the same order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_CHANNELS = 128  # with fewer, the additions cost what the multiplications save
TILES = 288  # transformed at a time, which stays in the cache


class WinogradConv2d(nn.Module):
    """Stands for an `nn.Conv2d` of kernel 3, stride 1, padding 1. For prediction: it has no gradients.

    Takes and returns float32 (B, C, H, W); fastest with `channels_last`, in which it returns.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        transform = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
        weight = torch.einsum('ia,kcab,jb->ijck', transform, conv.weight.detach().double(), transform)
        self.register_buffer('weight', weight.flatten(0, 1).float().contiguous())  # (16, C, K)
        self.register_buffer('bias', None if conv.bias is None else conv.bias.detach().clone())

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        down, across = -(-height // 2), -(-width // 2)  # tiles
        out = x.new_empty(batch, 2 * down, 2 * across, self.weight.shape[2])
        padding = (0, 0, 1, 2 * across - width + 1, 1, 2 * down - height + 1)
        for image, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
            self.convolve(F.pad(image, padding), result)
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def convolve(self, padded: Tensor, out: Tensor) -> None:
        """float32 (2h + 2, 2w + 2, C) -> `out`, (2h, 2w, K), some rows of tiles at a time."""
        down, across = out.shape[0] // 2, out.shape[1] // 2
        step = max(1, TILES // across)
        for top in range(0, down, step):
            end = min(top + step, down)
            tiles = transform_input(padded[2 * top : 2 * end + 2])
            products = torch.bmm(tiles.flatten(0, 1).flatten(1, 2), self.weight)
            transform_output(products.view(4, 4, end - top, across, -1), out[2 * top : 2 * end])
        if self.bias is not None:
            out += self.bias


def transform_input(image: Tensor) -> Tensor:
    """float32 (2h + 2, 2w + 2, C) -> the transformed 4x4 tiles, (4, 4, h, w, C)."""
    height, width, channels = (image.shape[0] - 2) // 2, (image.shape[1] - 2) // 2, image.shape[2]
    rows = image.new_empty(4, height, image.shape[1], channels)
    difference_or_sum(rows, *(image[start : start + 2 * height - 1 : 2] for start in range(4)))
    tiles = image.new_empty(4, 4, height, width, channels)
    difference_or_sum(tiles.transpose(0, 1), *(rows[:, :, start : start + 2 * width - 1 : 2] for start in range(4)))
    return tiles


def difference_or_sum(out: Tensor, first: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> None:
    """One axis of the input's transform."""
    torch.sub(first, third, out=out[0])
    torch.add(second, third, out=out[1])
    torch.sub(third, second, out=out[2])
    torch.sub(second, fourth, out=out[3])


def transform_output(products: Tensor, out: Tensor) -> None:
    """The products of the tiles, (4, 4, h, w, K), which are overwritten -> `out`, (2h, 2w, K)."""
    _, _, height, width, channels = products.shape
    quads = out.view(height, 2, width, 2, channels)
    first, second, third, fourth = products.unbind(1)
    even = (second + third).add_(first)
    odd = second.sub_(third).sub_(fourth)
    for column, (one, two, three, four) in enumerate((even, odd)):
        torch.add((two + three), one, out=quads[:, 0, :, column])
        torch.sub((two - three), four, out=quads[:, 1, :, column])


def replace_convolutions(module: nn.Module) -> None:
    """Put a `WinogradConv2d` in the place of every convolution below `module` that it can stand for and speed up."""
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and fits(child):
            setattr(module, name, WinogradConv2d(child))
        else:
            replace_convolutions(child)


def fits(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    plain = shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, 'zeros')
    return plain and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS
