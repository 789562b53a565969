"""`ShortResNet`: a ResNet-50 without the last two blocks."""

import torch
from mmdet.models.backbones import ResNet

from solo_bg.mmdet_plugin.short_resnet import ShortResNet


def test_it_is_resnet_50_without_two_blocks():
    """The weights of a whole ResNet-50 fit, and the first three stages compute the same."""
    torch.manual_seed(0)
    whole, short = ResNet(50), ShortResNet(50)
    whole.eval()
    short.eval()
    fitting = short.load_state_dict(whole.state_dict(), strict=False)
    assert not fitting.missing_keys
    assert {key.rpartition('layer4.')[2][0] for key in fitting.unexpected_keys} == {'1', '2'}
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        *first, last = short(x)
        *expected, _ = whole(x)
        torch.testing.assert_close(last, whole.layer4[0](expected[-1]))
    torch.testing.assert_close(first, expected)
