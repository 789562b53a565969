"""3x3 convolutions with fewer multiplications, for float32 on the CPU, where torch computes them directly.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4) computes 4x4
outputs with 36 multiplications instead of 144. It treats a tile of the image and the kernel as polynomials, and finds
their product from its values at six points. The usual points (0, 1, -1, 2, -2 and infinity) round twice as much as the
points chosen here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from numpy.polynomial import polynomial
from torch import Tensor, nn

SIDE = 4  # side of the square of outputs that are computed together
REACH = SIDE + 2  # side of the square of inputs that these outputs depend on
POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)  # and infinity. Among multiples of 1/8 these round least
LEAST_CHANNELS = 128  # with fewer channels the transforms cost more than they save
TILES = 144  # tiles that are transformed at a time, so that they stay in the cache


def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """The Toom-Cook matrices of one axis, float64: 6x6 for the input, 6x3 for the kernel, 4x6 for the output."""
    of_input, of_kernel, of_output = (torch.zeros(*shape, dtype=torch.float64) for shape in ((6, 6), (6, 3), (4, 6)))
    for row, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        coefficients = torch.from_numpy(polynomial.polyfromroots(others))
        scale = coefficients.abs().sum()  # keeps the transformed input from growing
        of_input[row, :-1] = coefficients / scale
        of_kernel[row] = point ** torch.arange(3) * scale / polynomial.polyval(point, coefficients.numpy())
        of_output[:, row] = point ** torch.arange(SIDE)
    at_infinity = torch.from_numpy(polynomial.polyfromroots(POINTS))
    of_input[-1] = at_infinity / at_infinity.abs().sum()
    of_kernel[-1, -1] = at_infinity.abs().sum()
    of_output[-1, -1] = 1
    return of_input, of_kernel, of_output


class WinogradConv2d(nn.Module):
    """Replaces an `nn.Conv2d` of kernel 3, stride 1 and padding 1 for prediction. It has no gradients.

    Takes and returns float32 (B, C, H, W). It returns `channels_last`, and is fastest with such an input. Its weights
    take four times the memory of the convolution's.
    """

    weight: Tensor
    bias: Tensor | None
    into: Tensor
    back: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        of_input, of_kernel, of_output = transforms()
        weight = torch.einsum('ia,kcab,jb->ijck', of_kernel, conv.weight.detach().double(), of_kernel)
        self.register_buffer('weight', weight.flatten(0, 1).float().contiguous())  # (36, C, K)
        self.register_buffer('bias', None if conv.bias is None else conv.bias.detach().clone())
        self.register_buffer('into', torch.kron(of_input, of_input).float())  # (36, 36), both axes at once
        self.register_buffer('back', torch.kron(of_output, of_output).float())  # (16, 36)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        down, across = -(-height // SIDE), -(-width // SIDE)  # tiles
        out = x.new_empty(batch, SIDE * down, SIDE * across, self.weight.shape[2])
        padding = (0, 0, 1, SIDE * across - width + 1, 1, SIDE * down - height + 1)
        for image, result in zip(x.permute(0, 2, 3, 1), out, strict=True):
            self.convolve(F.pad(image, padding), result)
        if self.bias is not None:
            out += self.bias
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def convolve(self, padded: Tensor, out: Tensor) -> None:
        """Convolve `padded`, float32 (4h + 2, 4w + 2, C), into `out`, (4h, 4w, K), some rows of tiles at a time."""
        tiles = padded.unfold(0, REACH, SIDE).unfold(1, REACH, SIDE).permute(3, 4, 0, 1, 2)  # (6, 6, h, w, C)
        down, across = tiles.shape[2:4]
        squares = out.view(down, SIDE, across, SIDE, -1).permute(1, 3, 0, 2, 4)  # (4, 4, h, w, K)
        step = max(1, TILES // across)
        for some, result in zip(torch.split(tiles, step, 2), torch.split(squares, step, 2), strict=True):
            transformed = (self.into @ some.reshape(REACH**2, -1)).view(REACH**2, -1, some.shape[-1])
            products = torch.bmm(transformed, self.weight)
            result.copy_((self.back @ products.flatten(1)).view(result.shape))


def replace_convolutions(module: nn.Module) -> None:
    """Replace every convolution below `module` that a `WinogradConv2d` can replace and speed up."""
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and fits(child):
            setattr(module, name, WinogradConv2d(child))
        else:
            replace_convolutions(child)


def fits(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    plain = shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, 'zeros')
    return plain and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS
