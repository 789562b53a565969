"""Small versions of mmdet's segmenters: a sixteenth of the width, three classes, random weights that find something."""

import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from solo_bg.models import zoo

SIZE = (160, 128)  # width and height that images are resized to
CLASSES = ('round', 'square', 'other')
WIDTHS = ('channels', 'channel', 'planes', 'embed_dims', 'num_feats', 'num_groups')
NUMBERS = {
    'num_proposals': 20, 'num_queries': 30, 'max_per_img': 20, 'max_per_image': 20, 'num_things_classes': 3
}  # fmt: skip
# layers whose weights are scaled down, so that scores stay away from 1 and boxes near their anchors
CALMED = {'fc_cls': 0.1, 'conv_cls': 0.1, 'rtm_cls': 0.003, 'fc_reg': 0.02}


def small_config(name):
    """Return the config with this name in mmdet's metafiles, made small."""
    config = Config.fromfile(zoo.find(name).config)
    if name.startswith(('condinst', 'boxinst')):
        config.model.bbox_head.norm_cfg = ConfigDict(type='GN', num_groups=32)  # so that `shrink` divides it
    shrink(config.model)
    backbone = config.model.backbone
    if 'widen_factor' in backbone:
        backbone.update(widen_factor=1 / 16, deepen_factor=1 / 6)
    for step in config.test_dataloader.dataset.pipeline:
        for key in {'scale', 'size'} & set(step):
            step[key] = SIZE if len(set(step[key])) > 1 else (SIZE[0], SIZE[0])
    return config


def shrink(node):
    """Divide the widths in a config and set its numbers of things, in place and recursively."""
    if isinstance(node, list):
        for item in node:
            shrink(item)
    if not isinstance(node, ConfigDict):
        return
    if 'depth' in node:  # a ResNet, whose widths are multiples of 64
        node.base_channels = 4
    for key, value in list(node.items()):
        if key == 'init_cfg':
            node[key] = None
        elif key.endswith(WIDTHS):
            node[key] = [narrow(item) for item in value] if isinstance(value, (list, tuple)) else narrow(value)
        elif key == 'num_classes' and value == 80:
            node[key] = 3
        elif key == 'class_weight' and isinstance(value, list):
            node[key] = [1.0] * 4
        elif key in NUMBERS:
            node[key] = NUMBERS[key]
        else:
            shrink(value)


def narrow(width):
    return width // 16 if isinstance(width, int) and width >= 32 else width


def save_small_weights(config, path, image):
    """Write random weights for `config` to `path`.

    They are scaled by Kaiming's rule, and the batch norms have the statistics of `image`, uint8 (H, W, 3), so that the
    results depend on it.
    """
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            module.weight.data *= next((factor for part, factor in CALMED.items() if part in name), 1)
        if 'init_proposal_bboxes' in name:  # QueryInst starts from boxes of the whole image
            module.weight.data = torch.tensor([0.5, 0.5, 1, 1]).expand_as(module.weight).clone()
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        inputs = {'inputs': [torch.from_numpy(image).permute(2, 0, 1)], 'data_samples': None}
        model.extract_feat(model.data_preprocessor(inputs)['inputs'])
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'CLASSES': CLASSES}}}, path)
