"""Compare variations of the bundled model's training, each trained for the same few iterations.

    python tools/trials_tiny.py data/tiny --resnet50 resnet50_msra-5891d200.pth --resnet18 resnet18-f37072fd.pth \
        --mobilenet-v2 mobilenet_v2-b0353104.pth

The first file is mmdet's `open-mmlab://detectron2/resnet50_caffe`, the others are torchvision's. Every variation is
measured on the calibration photographs of tools/prepare_tiny.py and on drawn scenes, by the IoU of the union at the
best of several score thresholds. A trial that is finished is not repeated.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from evaluate_union import iou
from finish_tiny import CONFIG, draw_scenes, halve_convolutions, load_photographs
from mmdet.models.backbones import MobileNetV2

from solo_bg import Segmenter
from solo_bg.models.checkpoint import load_checkpoint

TOOLS = Path(__file__).resolve().parent
RECIPE = TOOLS.parent / 'configs' / 'solo_bg_tiny_train.py'
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
PARTS = ('complete', 'instances_train2017', 'partial', 'scenes')  # in the order of the recipe
DATA_SET = 'train_dataloader.dataset.dataset.datasets.{}.dataset'


@dataclass
class Trial:
    """What differs from the recipe: `--cfg-options` of the training, and of the config that is then used."""

    train: list[str] = field(default_factory=list)
    use: list[str] = field(default_factory=list)
    ann_file: str = 'train.json'


def at_size(width: int, height: int, crop: int) -> Trial:
    """Images of another size, in training and in use."""
    train = []
    for number in range(len(PARTS)):
        steps = f'{DATA_SET.format(number)}.pipeline'
        train.append(f'{steps}.4.scale=({width},{height})')
        train += [f'{steps}.5.crop_size=({crop},{crop})', f'{steps}.6.size=({crop},{crop})']
    return Trial(train, [f'test_dataloader.dataset.pipeline.1.scale=({width},{height})'])


TORCHVISION = [
    'model.data_preprocessor.mean=[123.675,116.28,103.53]',
    'model.data_preprocessor.std=[58.395,57.12,57.375]',
    'model.data_preprocessor.bgr_to_rgb=True',
    'model.backbone._delete_=True',
]
RESNET18 = [
    *TORCHVISION,
    'model.backbone.type=ResNet',
    'model.backbone.depth=18',
    'model.backbone.frozen_stages=1',
    'model.backbone.norm_eval=True',
    'model.neck.in_channels=[64,128,256,512]',
]
MOBILENET = [
    *TORCHVISION,
    'model.backbone.type=MobileNetV2',
    'model.backbone.out_indices=(1,2,4,7)',
    'model.backbone.frozen_stages=1',
    'model.backbone.norm_eval=True',
    'model.neck.in_channels=[24,32,96,1280]',
]
NO_FOREGROUND = ['model.mask_head.foreground_weight=0.0']
ONE_CLASS = ['model.mask_head.num_classes=1']
TRIALS = {
    'the recipe': Trial(),
    'ResNet-18': Trial(RESNET18, RESNET18),
    'MobileNetV2': Trial(MOBILENET, MOBILENET),
    'all stages of the backbone frozen': Trial(['model.backbone.frozen_stages=4']),
    'no stage frozen': Trial(['model.backbone.frozen_stages=-1']),
    'without the foreground map': Trial(NO_FOREGROUND, NO_FOREGROUND),
    'without pasted instances': Trial(['train_dataloader.dataset.pipeline.0.max_num_pasted=1']),  # mmdet pastes fewer
    'without averaging': Trial(['custom_hooks=[]']),
    'images of 336x240, crops of 192': at_size(336, 240, 192),
    'images of 560x400, crops of 320': at_size(560, 400, 320),
    'one class': Trial(
        [*ONE_CLASS, *(f'{DATA_SET.format(number)}.metainfo.classes=object,' for number in range(len(PARTS)))],
        ONE_CLASS,
        'train_one_class.json',
    ),
}


def convert_mobilenet(source: Path, target: Path) -> None:
    """Write torchvision's MobileNetV2 under mmdet's names: both list the same layers in the same order."""
    given = torch.load(source, map_location='cpu', weights_only=True)
    values = [value for name, value in given.items() if not name.startswith('classifier.')]
    names = MobileNetV2(out_indices=(7,)).state_dict()
    if [value.shape for value in values] != [value.shape for value in names.values()]:
        raise SystemExit(f"{source} does not hold torchvision's mobilenet_v2")
    torch.save(dict(zip(names, values, strict=True)), target)


def measure(checkpoint: Path, options: list[str], data: Path) -> dict[str, float]:
    """The IoU of the union at the best threshold, on photographs and on drawn scenes."""
    stripped = checkpoint.with_name('stripped.pth')
    torch.save({'state_dict': halve_convolutions(load_checkpoint(checkpoint).state_dict)}, stripped)
    options = [*options, f'model.test_cfg.score_thr={min(THRESHOLDS)}']
    segmenter = Segmenter(CONFIG, stripped, device='cpu', cfg_options=options)
    best = {}
    for name, pictures in {'photographs': load_photographs(data), 'scenes': draw_scenes()}.items():
        rows = []
        for pixels, wanted in pictures:
            found = segmenter([pixels])[0]
            rows.append([iou(found.select(threshold).union.numpy(), wanted) for threshold in THRESHOLDS])
        best[name] = float(np.mean(rows, axis=0).max())
    return best


def merge_classes(data: Path) -> None:
    """Write every training set's annotations once more with the single class `object`."""
    for part in PARTS:
        coco = json.loads((data / part / 'train.json').read_text())
        coco['categories'] = [{'id': 1, 'name': 'object'}]
        for annotation in coco['annotations']:
            annotation['category_id'] = 1
        (data / part / 'train_one_class.json').write_text(json.dumps(coco))


def settings(trial: Trial, iterations: int, data: Path, weights: Path) -> list[str]:
    """`--cfg-options` of a trial's training: fewer iterations, averaging that fits it, and what is being tried."""
    options = [
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={iterations + 1}',
        f'param_scheduler.0.end={iterations // 6}',
        f'default_hooks.checkpoint.interval={iterations}',
        'custom_hooks.0.momentum=0.02',
        'custom_hooks.0.gamma=50',
        *trial.train,
        'model.backbone.init_cfg.type=Pretrained',
        f'model.backbone.init_cfg.checkpoint={weights}',
    ]
    for number, part in enumerate(PARTS):
        options.append(f'{DATA_SET.format(number)}.ann_file={data / part / trial.ann_file}')
        options.append(f'{DATA_SET.format(number)}.data_prefix.img={data / part / "images"}/')
    return options


def run(name: str, args: argparse.Namespace, weights: Path) -> dict[str, float]:
    """Train and measure one trial, unless its results exist."""
    trial, work_dir = TRIALS[name], args.work_dir / name.replace(' ', '_').replace(',', '')
    results = work_dir / f'results_{args.iterations}.json'
    if not results.exists():
        options = settings(trial, args.iterations, args.data.resolve(), weights)
        command = [sys.executable, TOOLS / 'train.py', RECIPE, '--work-dir', work_dir, '--cfg-options', *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f'the trial "{name}" failed:\n{done.stderr[-2000:]}')
        results.write_text(json.dumps(measure(work_dir / f'iter_{args.iterations}.pth', trial.use, args.data)))
    return dict(json.loads(results.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', type=Path, help='folder that prepare_tiny.py wrote')
    parser.add_argument('--resnet50', type=Path, required=True, help="mmdet's weights of ResNet-50 in Caffe's style")
    parser.add_argument('--resnet18', type=Path, required=True, help="torchvision's weights of ResNet-18")
    parser.add_argument('--mobilenet-v2', type=Path, required=True, help="torchvision's weights of MobileNetV2")
    parser.add_argument('--iterations', type=int, default=150, help='training iterations of each trial (default: 150)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/trials'), help='folder of the results')
    parser.add_argument(
        '--only', nargs='+', choices=TRIALS, metavar='NAME', default=list(TRIALS), help='trials to run (default: all)'
    )
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    mobilenet = args.work_dir / 'mobilenet_v2.pth'
    convert_mobilenet(args.mobilenet_v2, mobilenet)
    others = {'ResNet-18': args.resnet18, 'MobileNetV2': mobilenet}
    merge_classes(args.data)
    print('| trial | photographs | drawn scenes |\n|---|---|---|')
    for name in args.only:
        found = run(name, args, others.get(name, args.resnet50).resolve())
        print(f'| {name} | {found["photographs"]:.3f} | {found["scenes"]:.3f} |', flush=True)


if __name__ == '__main__':
    main()
