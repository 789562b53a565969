"""Train a model from an mmdet config: python tools/train.py CONFIG [--work-dir DIR] [--resume] [--amp] ...

It runs on a GPU or a CPU, and with torchrun on several.
"""

import argparse
from pathlib import Path

import torch
from launch import main_of, prepare
from mmengine.config import DictAction
from mmengine.runner import Runner, find_latest_checkpoint

from solo_bg.models.config import load_config
from solo_bg.models.dataset_files import check_annotations
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.utils import register_all_modules

    import solo_bg.mmdet_plugin.bf16
    import solo_bg.mmdet_plugin.metrics
    import solo_bg.mmdet_plugin.region_ap
    import solo_bg.mmdet_plugin.training_curves  # noqa: F401


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='mmdet config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dirs/NAME of the config)')
    parser.add_argument('--resume', action='store_true', help='continue from the latest checkpoint in --work-dir')
    parser.add_argument('--amp', action='store_true', help='run the forward pass in bfloat16, on a GPU or a CPU')
    parser.add_argument('--launcher', choices=('none', 'pytorch'), default='none', help='use pytorch under torchrun')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='K=V', help='override the config'
    )
    args = parser.parse_args()

    register_all_modules(init_default_scope=False)
    config = load_config(args.config, args.cfg_options, needs='train_dataloader')
    work_dir = args.work_dir or config.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    check_annotations(config, 'train_dataloader', 'val_dataloader', 'val_evaluator')
    prepare(config, args.launcher, work_dir)
    config.resume = args.resume and find_latest_checkpoint(work_dir) is not None
    if config.resume:
        config.load_from = None  # otherwise mmengine would resume from that file, with its iteration number
    if args.amp:
        config.optim_wrapper.type = 'Bf16OptimWrapper'
        for name in ('loss_scale', 'dtype'):  # options of another wrapper
            config.optim_wrapper.pop(name, None)
    runner = Runner.from_cfg(config)
    runner.model.to(memory_format=torch.channels_last)  # makes convolutions on a CPU 10% faster
    runner.train()


if __name__ == '__main__':
    main_of(main)
