"""Random weights for SOLO configs that find instances: scaled so that masks have shapes and some cells pass."""

import warnings

import torch
from torch import nn

from solo_bg.models.mmcv_ops import quiet_imports


def save_weights(config, path, image, cells=50):
    """Write random weights for `config` to `path`, with which about `cells` cells of `image` pass the threshold of 0.1.

    Args:
        config: a config file, or mmengine's `Config`.
        path: file to write.
        image: uint8 (H, W, 3), BGR, of the size that the model sees.
    """
    with quiet_imports():
        import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    config = Config.fromfile(config) if not isinstance(config, Config) else config
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('ERROR')  # init_weights lists every weight
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    head = model.mask_head
    for name, module in head.named_modules():
        if isinstance(module, nn.Conv2d) and 'conv_mask_list' in name:
            nn.init.normal_(module.weight, std=0.3)
    nn.init.normal_(head.conv_cls.weight, std=0.05)
    if hasattr(head, 'foreground'):
        nn.init.constant_(head.foreground[-1].bias, 4)  # nearly everything is foreground
    raise_bias(model, image, cells)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)


@torch.no_grad()
def raise_bias(model, image, cells):
    """Shift the class bias so that the `cells`-th best score of this image becomes 0.1."""
    model.eval()
    batch = {'inputs': [torch.from_numpy(image).permute(2, 0, 1)], 'data_samples': None}
    features = model.extract_feat(model.data_preprocessor(batch)['inputs'])
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='torch.meshgrid')
        *_, scores = model.mask_head(features)
    best = torch.cat([level.flatten() for level in scores]).topk(cells).values[-1]
    model.mask_head.conv_cls.bias += torch.logit(torch.tensor(0.1)) - torch.logit(best)
