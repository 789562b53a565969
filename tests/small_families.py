"""The configs of configs/families, made small, with random weights and a data set of drawn scenes."""

import torch
from conftest import ROOT

from solo_bg.models.config import load_config
from solo_bg.models.detector import build_detector

SMALL = {
    'deepmask_r18': {
        'backbone': {'base_channels': 8, 'init_cfg': None, 'frozen_stages': -1},
        'mask_head': {'in_channels': 32, 'feat_channels': 8, 'rank': 16, 'score_channels': (8, 16)},
        'test_cfg': {'scales': [0.5, 1.0], 'max_per_img': 20},
    },
    'instancefcn_r18': {
        'backbone': {'base_channels': 8, 'init_cfg': None, 'frozen_stages': -1},
        'mask_head': {'in_channels': 64, 'feat_channels': 16},
        'test_cfg': {'shorter_sides': [48, 96], 'max_per_img': 20},
    },
}


def small_config(name, data=None, **model):
    """The config `name`, small. `data` is the folder that `coco_data.make_dataset` filled."""
    options = {f'model.{part}.{key}': value for part, of_part in SMALL[name].items() for key, value in of_part.items()}
    config = load_config(ROOT / f'configs/families/{name}.py', {**options, **model})
    if data is not None:
        for loader in (config.train_dataloader, config.test_dataloader):
            loader.update(batch_size=2, num_workers=0, persistent_workers=False)
            loader.dataset.update(data_root=str(data), ann_file='instances.json', data_prefix={'img': 'images/'})
        for step in config.train_dataloader.dataset.pipeline:
            if step.type == 'RandomChoiceResize':
                step.scales = [(200, 60), (200, 120)]
        config.test_evaluator[0].ann_file = str(data / 'instances.json')
    return config


def small_model(name, **model):
    """The small model with random weights, ready to predict."""
    torch.manual_seed(0)
    return build_detector(small_config(name, **model)).eval()


def save_small_family(name, folder):
    """Write the small config and random weights; their paths."""
    config = small_config(name)
    torch.manual_seed(0)
    model = build_detector(config)
    config.dump(folder / f'{name}.py')
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / f'{name}.pth')
    return folder / f'{name}.py', folder / f'{name}.pth'
