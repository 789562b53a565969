"""mmdet's ResNet-50 with a shorter last stage."""

from typing import ClassVar

from mmdet.models.backbones import ResNet
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.registry import MODELS


@MODELS.register_module()
class ShortResNet(ResNet):
    """A ResNet-50 whose last stage has one block instead of three.

    The last stage holds 15 of ResNet-50's 23.5 million weights, and its first block 6 of these. Pretrained weights of a
    whole ResNet-50 load; those of the two blocks left out are ignored.
    """

    arch_settings: ClassVar = {50: (Bottleneck, (3, 4, 6, 1))}
