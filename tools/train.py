"""Train a model from an mmdet config: python tools/train.py CONFIG --work-dir DIR [--resume] [--cfg-options k=v ...]"""

import argparse

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from solo_bg.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.utils import register_all_modules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('--work-dir', required=True, help='where logs and checkpoints go')
    parser.add_argument('--resume', action='store_true', help='go on from the latest checkpoint in --work-dir')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='override the config')
    args = parser.parse_args()

    register_all_modules(init_default_scope=False)
    config = Config.fromfile(args.config)
    config.merge_from_dict({'work_dir': args.work_dir, 'resume': args.resume, **args.cfg_options})
    Runner.from_cfg(config).train()


if __name__ == '__main__':
    main()
