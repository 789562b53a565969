"""A U-Net of a quarter of the width, for tests."""

import cv2
import numpy as np
import torch
from conftest import ROOT
from mmengine.config import Config

UNET = ROOT / 'configs/unet_r34_person.py'
CHANNELS = {18: (1, 1, 2, 4, 8), 34: (1, 1, 2, 4, 8), 50: (1, 4, 8, 16, 32)}  # of feature maps, times base_channels


def tiny_config(depth=18, base=16, size=(64, 64), **test_cfg):
    config = Config.fromfile(UNET)
    config.model.backbone.update(depth=depth, base_channels=base, init_cfg=None)
    config.model.neck.update(in_channels=[base * times for times in CHANNELS[depth]], channels=(32, 32, 16, 16, 16))
    config.model.test_cfg.update(test_cfg)
    for pipeline in (config.train_dataloader.dataset.pipeline, config.test_dataloader.dataset.pipeline):
        next(step for step in pipeline if step['type'] == 'Resize')['scale'] = size
    return config


def build(config, seed=0):
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    torch.manual_seed(seed)
    return MODELS.build(config.model)


def save_weights(config, path, image):
    """Write random weights that find about half of `image`, uint8 (H, W, 3), as foreground."""
    model = build(config).train()
    batch = {'inputs': [torch.from_numpy(cv2.resize(image, (64, 64))).permute(2, 0, 1)] * 2, 'data_samples': None}
    with torch.no_grad():
        for _ in range(30):  # statistics of the batch norms
            features = model.extract_feat(model.data_preprocessor(batch)['inputs'])
        features = model.eval().extract_feat(model.data_preprocessor(batch)['inputs'])
        model.mask_head.conv_mask.weight *= 20
        model.mask_head.conv_mask.bias -= model.mask_head(features).median()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)


def sample(masks, labels=None, crowd=None, shape=None, original=None):
    """An annotated image of mmdet's. masks: bool (N, H, W); crowd: bool (H, W)."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    n, height, width = masks.shape
    labels = torch.zeros(n, dtype=torch.int64) if labels is None else torch.tensor(labels)
    objects = InstanceData(labels=labels, bboxes=torch.zeros(n, 4))
    objects.masks = BitmapMasks(masks.astype(np.uint8), height, width)
    shape = shape or (height, width)
    found = DetDataSample(gt_instances=objects, metainfo={'img_shape': shape, 'ori_shape': original or shape})
    if crowd is not None:
        ignored = InstanceData(labels=torch.zeros(1, dtype=torch.int64), bboxes=torch.zeros(1, 4))
        ignored.masks = BitmapMasks(crowd[None].astype(np.uint8), height, width)
        found.ignored_instances = ignored
    return found
