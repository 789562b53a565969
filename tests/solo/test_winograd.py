import pytest
import torch
import torch.nn.functional as F
from torch import nn

from solo_bg.solo.winograd import WinogradConv2d, replace_convolutions


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (2, 3), (7, 8), (8, 7), (30, 2), (33, 41)])
@pytest.mark.parametrize('bias', [True, False])
def test_it_is_the_convolution(height, width, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, 3, padding=1, bias=bias)
    x = torch.randn(2, 6, height, width)
    exact = F.conv2d(x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = WinogradConv2d(conv)(x.contiguous(memory_format=layout))
        assert found.shape == exact.shape and found.dtype == torch.float32
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=4e-6)


def test_rounding_is_of_the_order_of_torchs():
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 128, 3, padding=1)
    x = torch.randn(1, 256, 20, 24)
    exact = F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    ours, torchs = ((found.double() - exact).abs().mean() for found in (WinogradConv2d(conv)(x), conv(x)))
    assert ours < 8 * torchs


def test_what_is_replaced():
    model = nn.Sequential(
        nn.Conv2d(128, 128, 3, padding=1),
        nn.Sequential(nn.Conv2d(128, 256, 3, padding=1)),
        nn.Conv2d(128, 128, 1),
        nn.Conv2d(128, 128, 3, padding=1, stride=2),
        nn.Conv2d(128, 128, 3, padding=2, dilation=2),
        nn.Conv2d(128, 128, 3, padding=1, groups=2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode='reflect'),
    )
    replace_convolutions(model)
    replaced = [isinstance(layer, WinogradConv2d) for layer in model]
    assert replaced == [True] + [False] * 7 and isinstance(model[1][0], WinogradConv2d)
