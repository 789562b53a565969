"""`run.py families`: train the models that docs/proposals.md compares, with one trunk, one data set and one budget."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from solo_bg import Instances
from solo_bg.coco.rle import encode
from solo_bg.core.masks import boxes_of
from solo_bg.disk.write import write_image
from solo_bg.models.config import load_config
from solo_bg.models.find import find_config
from solo_bg.scenes import draw_scene

ROOT = Path(__file__).parents[1]
HEIGHT, WIDTH, SHAPES = 160, 200, 4  # of the drawn scenes
FIRST_SEED = {'train': 7_000_000, 'test': 8_000_000}
CHANNELS = 96  # of feature pyramids
FACTORS = [0.7, 1.0, 1.4, 2.0, 2.8]  # of the image's size, in the pyramids of DeepMask and InstanceFCN
TRUNK = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
RATE = 5e-4  # of AdamW, a fifth of it for the trunk
SAME_SIZE = {'type': 'Resize', 'scale': (WIDTH, HEIGHT), 'keep_ratio': True}
PLUGINS = [
    f'solo_bg.mmdet_plugin.{name}'
    for name in (
        'cascade_stages',
        'class_agnostic',
        'cpu_budget',
        'deepmask',
        'foreground_head',
        'instance_fcn',
        'metrics',
        'mnc',
        'pixel_embeddings',
        'region_ap',
        'triplets',
    )
]
CONFIGS = {
    'DeepMask': ROOT / 'configs/families/deepmask_r18.py',
    'InstanceFCN': ROOT / 'configs/families/instancefcn_r18.py',
    'MNC': ROOT / 'configs/families/mnc_r18.py',
    'embeddings': ROOT / 'configs/families/embeddings_r18.py',
    'SOLO': ROOT / 'configs/solo_bg_tiny.py',
    'Mask R-CNN': 'mask-rcnn_r50_fpn_1x_coco',
}
BATCH = {'DeepMask': 8, 'InstanceFCN': 2, 'MNC': 4, 'embeddings': 4, 'SOLO': 4, 'Mask R-CNN': 4}
# What differs from the configs: one class, and sizes for images of 200 x 160 pixels.
CHANGES: dict[str, dict[str, Any]] = {
    'DeepMask': {'mask_head.rank': 256, 'test_cfg.scales': FACTORS},
    'InstanceFCN': {
        'backbone.num_stages': 3,  # the fourth stage at stride 8 would take most of the time
        'backbone.strides': (1, 2, 1),
        'backbone.dilations': (1, 1, 2),
        'backbone.out_indices': (2,),
        'mask_head.in_channels': 256,
        'mask_head.feat_channels': 256,
        'test_cfg.shorter_sides': [HEIGHT * factor for factor in FACTORS],
    },
    'MNC': {
        'roi_head.num_classes': 1,
        'roi_head.class_channels': 256,
        'rpn_head.anchor_generator.scales': [2, 4, 8, 16],
    },
    'embeddings': {'mask_head.num_classes': 1, 'mask_head.ramp': 50, 'test_cfg.score_thr': 0.0},
    'SOLO': {'mask_head.num_classes': 1, 'mask_head.foreground_weight': 0.0},
    'Mask R-CNN': {
        'backbone.depth': 18,
        'neck.in_channels': [64, 128, 256, 512],
        'neck.out_channels': CHANNELS,
        'rpn_head.in_channels': CHANNELS,
        'rpn_head.feat_channels': CHANNELS,
        'rpn_head.anchor_generator.scales': [4],
        'roi_head.bbox_roi_extractor.out_channels': CHANNELS,
        'roi_head.bbox_head.in_channels': CHANNELS,
        'roi_head.bbox_head.fc_out_channels': 256,
        'roi_head.bbox_head.num_classes': 1,
        'roi_head.mask_roi_extractor.out_channels': CHANNELS,
        'roi_head.mask_head.in_channels': CHANNELS,
        'roi_head.mask_head.conv_out_channels': CHANNELS,
        'roi_head.mask_head.num_classes': 1,
        'train_cfg.rpn_proposal.max_per_img': 300,
        'train_cfg.rcnn.sampler.num': 64,
    },
}


def families(args: argparse.Namespace) -> None:
    """Train each model for the same processor time, one after the other, on the given images or on drawn scenes."""
    if args.data is None:
        for part, count in (('train', args.scenes), ('test', args.test_scenes)):
            draw(args.out, part, count)
    register_all_modules(init_default_scope=False)
    for plugin in PLUGINS:
        importlib.import_module(plugin)
    torch.set_num_threads(1)
    for name in args.only or CONFIGS:
        print(f'training {name}', flush=True)
        config = config_of(name, (args.data or args.out).resolve(), args.trunk, args.seconds)
        config.work_dir = str(args.out / name.replace(' ', '_'))
        config.experiment_name = name
        config.log_level = 'WARNING'
        Runner.from_cfg(config).train()


def draw(out: Path, part: str, count: int) -> None:
    """Write drawn scenes and their annotations, as one class."""
    coco: dict[str, list[dict[str, Any]]] = {'images': [], 'annotations': [], 'categories': []}
    coco['categories'].append({'id': 1, 'name': 'object'})
    for seed in range(FIRST_SEED[part], FIRST_SEED[part] + count):
        image, masks = draw_scene(seed, HEIGHT, WIDTH, SHAPES)
        write_image(out / part / f'{seed}.png', image)
        coco['images'].append({'id': seed, 'file_name': f'{seed}.png', 'height': HEIGHT, 'width': WIDTH})
        dense = torch.from_numpy(masks)
        nothing = torch.zeros(len(masks), dtype=torch.int64)
        codes = encode(Instances(dense, nothing, nothing.float()))
        for code, box, area in zip(codes, boxes_of(dense).tolist(), dense.sum((1, 2)).tolist(), strict=True):
            x0, y0, x1, y1 = box
            shape = {'segmentation': code, 'bbox': [x0, y0, x1 - x0, y1 - y0], 'area': area}
            facts = {'id': len(coco['annotations']) + 1, 'image_id': seed, 'category_id': 1, 'iscrowd': 0}
            coco['annotations'].append(facts | shape)
    (out / f'{part}.json').write_text(json.dumps(coco))


def config_of(name: str, data: Path, trunk: str, seconds: float) -> Config:
    """A model's config with what is the same for all of them: trunk, data, optimizer and budget."""
    changes = {**CHANGES[name], 'backbone.frozen_stages': 2, 'backbone.norm_eval': True}
    own = load_config(find_config(str(CONFIGS[name])), {f'model.{key}': value for key, value in changes.items()})
    own.model.backbone.init_cfg = ConfigDict(type='Pretrained', checkpoint=trunk)
    config = Config.fromfile(ROOT / 'configs/families/proposals_base.py')
    config.model = own.model
    config.custom_imports = {'imports': PLUGINS, 'allow_failed_imports': False}
    for loader, part, pipeline in (
        (config.train_dataloader, 'train', train_pipeline(name, config)),
        (config.test_dataloader, 'test', [config.load[0], SAME_SIZE, config.load[1], config.pack]),
    ):
        files = {'data_root': str(data), 'ann_file': f'{part}.json', 'data_prefix': {'img': f'{part}/'}}
        loader.dataset.update(files | {'pipeline': pipeline})
    config.train_dataloader.update(batch_size=BATCH[name], num_workers=0, persistent_workers=False)
    test = str(data / 'test.json')
    config.test_evaluator = [{'type': kind, 'ann_file': test} for kind in ('MaskProposalRecall', 'RegionAP')]
    config.train_cfg.update(max_iters=10**6, val_interval=10**7)  # the budget ends the training
    config.default_hooks.checkpoint.interval = 10**7
    config.param_scheduler = None
    config.optim_wrapper.optimizer.lr = RATE
    config.custom_hooks = [{'type': 'CpuBudget', 'seconds': seconds}]
    return config


def train_pipeline(name: str, config: Config) -> list[Any]:
    """The size of training images differs: DeepMask and InstanceFCN look at objects of one size only, and learn them
    from windows or from the sizes of their pyramid."""
    flip = {'type': 'RandomFlip', 'prob': 0.5}
    if name == 'DeepMask':
        return [*config.load, {'type': 'CutTriplet'}, flip, config.pack]
    if name == 'InstanceFCN':
        scales = [(round(WIDTH * factor), round(HEIGHT * factor)) for factor in FACTORS]
        resize = {'type': 'RandomChoiceResize', 'scales': scales, 'keep_ratio': True}
    else:
        resize = {'type': 'RandomResize', 'scale': (WIDTH, HEIGHT), 'ratio_range': (0.7, 1.4), 'keep_ratio': True}
    return [*config.load, resize, flip, config.pack]
