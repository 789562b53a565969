"""Test a model from an mmdet config: python tools/test.py CONFIG CHECKPOINT [--out FILE.pkl] [--show-dir DIR] ...

Runs the config's test_evaluator on its test_dataloader, on a GPU or a CPU; with torchrun, on several. A config that
names one of mmdet's SOLO heads is tested with this package's lazy head, which gives the same results faster.
"""

import argparse
import os

from launch import main_of, prepare
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from solo_bg.models.checkpoint import load_checkpoint
from solo_bg.models.config import keep_proposals, load_config
from solo_bg.models.dataset_files import check_annotations
from solo_bg.models.lazy_head import choose_head
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.models.weights import load_weights

with quiet_imports():
    from mmdet.utils import register_all_modules

    import solo_bg.mmdet_plugin.lazy_solo
    import solo_bg.mmdet_plugin.metrics
    import solo_bg.mmdet_plugin.optimise_for_test
    import solo_bg.mmdet_plugin.region_ap  # noqa: F401
    from solo_bg.mmdet_plugin.rle_results import DumpInstances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='mmdet config file')
    parser.add_argument('checkpoint', help='weights, a .pth or .safetensors file')
    parser.add_argument('--work-dir', default='work_dirs/test', help='folder of the logs (default: work_dirs/test)')
    parser.add_argument('--out', help='write the predictions to this .pkl')
    parser.add_argument('--show-dir', help='draw the predictions into this folder')
    parser.add_argument('--proposals', action='store_true', help='keep 1000 masks per image; measure average recall')
    parser.add_argument('--launcher', choices=('none', 'pytorch'), default='none', help='use pytorch under torchrun')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='K=V', help='override the config'
    )
    args = parser.parse_args()

    register_all_modules(init_default_scope=False)
    config = load_config(args.config, args.cfg_options)
    check_annotations(config, 'test_dataloader', 'test_evaluator')
    prepare(config, args.launcher, args.work_dir)
    config.load_from = None  # the weights are loaded below, as data
    choose_head(config, lazy=True)
    if args.show_dir:
        hook = {'type': 'ShowInstances', 'draw': True, 'test_out_dir': os.path.abspath(args.show_dir)}
        config.default_hooks.visualization = hook
    if args.proposals:
        measure_recall(config)
    runner = Runner.from_cfg(config)
    model = runner.model.module if args.launcher == 'pytorch' else runner.model
    load_weights(model, load_checkpoint(args.checkpoint), args.checkpoint, config)
    if args.out:  # a pickle
        runner.test_evaluator.metrics.append(DumpInstances(out_file_path=args.out))
    metrics = runner.test()
    if is_main_process():
        for name, value in metrics.items():
            print(f'{name}: {value:.4f}')


def measure_recall(config: Config) -> None:
    """Let the model keep as many masks as `MaskProposalRecall` uses; add that metric if the config does not name it."""
    keep_proposals(config)
    metrics = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
    if all(metric['type'] != 'MaskProposalRecall' for metric in metrics):
        metrics = [*metrics, {'type': 'MaskProposalRecall', 'ann_file': metrics[0]['ann_file']}]
    config.test_evaluator = metrics


if __name__ == '__main__':
    main_of(main)
