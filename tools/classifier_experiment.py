"""Does background elimination help a classifier of cropped objects? Train and test it on several versions of the crops.

    python tools/classifier_experiment.py --train ANNOTATIONS.json IMAGES/ --test ANNOTATIONS.json IMAGES/ --seeds 3

The classes are COCO's twelve supercategories. A crop is a square window around one annotated object, with a tenth of
its side as context on each side. The versions of a crop:

    original        as it is
    eliminated      every pixel outside the object's mask is 0
    swapped         every pixel outside the object's mask comes from another photograph of the same part
    by the model    every pixel outside the union of the bundled model's masks is 0 (for testing only)

`both` trains on originals and eliminated crops, half and half. All arms make the same number of steps with the same
settings; each is compared with `original`, seed by seed.
"""

import argparse
import functools
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from experiment import describe
from mmengine.logging import MMLogger
from prepare_tiny import SUPERCATEGORIES, class_ids
from pycocotools.coco import COCO
from torch import Tensor, nn

from solo_bg import Segmenter, bundled
from solo_bg.core.windows import cut_window, square_around
from solo_bg.disk.read import read_image
from solo_bg.draw.backgrounds import random_of
from solo_bg.draw.compose import replace_background
from solo_bg.draw.fills import one_fill
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.models.backbones import ResNet

ARMS = {
    'original': ('original',),
    'eliminated': ('eliminated',),
    'both': ('original', 'eliminated'),
    'swapped': ('swapped',),
}
TESTS = ('original', 'eliminated', 'swapped', 'by the model')
SIDE = 64  # of a crop, in pixels
CONTEXT = 1.25
SMALLEST = 24  # pixels of the longer side of an object's box; smaller objects are left out
WEIGHTS = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet's images, RGB

Crops = dict[str, Tensor]  # version -> uint8 (N, SIDE, SIDE, 3), BGR; and 'label' -> int64 (N,)


def cut_crops(ann_file: Path, images: Path, segmenter: Segmenter | None) -> Iterator[dict[str, Tensor]]:
    """Every version of every object of a data set that is no crowd and large enough."""
    coco = COCO(str(ann_file))
    labels, fill = class_ids(coco), one_fill(f'dir:{images}')
    for image_id in sorted(coco.imgs):
        name = coco.imgs[image_id]['file_name']
        image, random = torch.from_numpy(read_image(images / name)), random_of(0, name)
        union = segmenter([image.numpy()])[0].select(0.3).union if segmenter else torch.zeros(image.shape[:2])
        for annotation in coco.imgToAnns[image_id]:
            x, y, width, height = annotation['bbox']
            label = labels[annotation['category_id']] - 1
            if annotation.get('iscrowd') or max(width, height) < SMALLEST or label >= len(SUPERCATEGORIES):
                continue
            window = square_around((x, y, x + width, y + height), CONTEXT)
            crop, mask = cut_window(image, window, SIDE, torch.from_numpy(coco.annToMask(annotation)))
            _, found = cut_window(image, window, SIDE, union)
            yield {
                'original': crop,
                'eliminated': crop * mask[..., None],
                'swapped': replace_background(crop, mask, fill(crop, random)),
                'by the model': crop * found[..., None],
                'label': torch.tensor(label),
            }


def read_part(sets: list[tuple[Path, Path]], segmenter: Segmenter | None = None) -> Crops:
    rows = [row for ann_file, images in sets for row in cut_crops(ann_file, images, segmenter)]
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


class Classifier(nn.Module):
    """mmdet's ResNet-18 with a mean over its last feature map and one linear layer."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        init = {'type': 'Pretrained', 'checkpoint': weights}
        self.backbone = ResNet(18, out_indices=(3,), frozen_stages=2, norm_eval=True, init_cfg=init)
        self.backbone.init_weights()
        self.linear = nn.Linear(512, len(SUPERCATEGORIES))

    def forward(self, crops: Tensor) -> Tensor:
        """Return the logits (N, 12) of crops, uint8 (N, h, w, 3), BGR."""
        mean, std = (crops.new_tensor(values, dtype=torch.float32)[:, None, None] for values in (MEAN, STD))
        rgb = crops.flip(-1).permute(0, 3, 1, 2).float()
        return self.linear(self.backbone((rgb - mean) / std)[0].mean((2, 3)))


def train(crops: Crops, versions: tuple[str, ...], seed: int, args: argparse.Namespace) -> Classifier:
    """Train for `args.epochs`; each crop is seen once an epoch, in one of the versions, flipped or not."""
    torch.manual_seed(seed)
    model = Classifier(args.weights)
    groups = [{'params': model.backbone.parameters(), 'lr': args.lr / 10}, {'params': model.linear.parameters()}]
    optimizer = torch.optim.AdamW(groups, args.lr, weight_decay=0.05)
    count = len(crops['label'])
    steps = args.epochs * (count // args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group['lr'] for group in optimizer.param_groups], steps, pct_start=0.1
    )
    model.train()
    for _ in range(args.epochs):
        order = torch.randperm(count)
        for chosen in order[: count // args.batch_size * args.batch_size].view(-1, args.batch_size):
            version = torch.randint(len(versions), chosen.shape)
            seen = torch.stack([crops[versions[v]][i] for v, i in zip(version.tolist(), chosen.tolist(), strict=True)])
            flipped = torch.rand(len(seen)) < 0.5
            seen[flipped] = seen[flipped].flip(2)
            optimizer.zero_grad()
            F.cross_entropy(model(seen), crops['label'][chosen]).backward()
            optimizer.step()
            schedule.step()
    return model


@torch.inference_mode()
def accuracy(model: Classifier, crops: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of the crops that are classified rightly, and the mean of this share over the classes."""
    model.eval()
    right = torch.cat([model(some).argmax(1) for some in crops.split(64)]) == labels
    by_class = [right[labels == label].float().mean().item() for label in labels.unique()]
    return {'accuracy': right.float().mean().item(), 'mean accuracy of the classes': statistics.mean(by_class)}


def make_table(results: dict[str, list[dict]], metric: str) -> str:
    """A Markdown table: mean and standard deviation over the seeds, and the difference from `original`."""
    lines = [f'| trained on | {" | ".join(TESTS)} |', '|---' * (len(TESTS) + 1) + '|']
    for arm, runs in results.items():
        cells = []
        for test in TESTS:
            values = [run[test][metric] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            differences = np.subtract(values, [run[test][metric] for run in results['original']]).tolist()
            cell = f'{statistics.mean(values):.3f} ± {spread:.3f}'
            cells.append(cell if arm == 'original' else f'{cell} ({describe(differences)})')
        lines.append(f'| {arm} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pair = functools.partial(parser.add_argument, nargs=2, type=Path, action='append', required=True)
    pair('--train', metavar=('ANNOTATIONS', 'IMAGES'), help='a COCO data set to train on; can be given several times')
    pair('--test', metavar=('ANNOTATIONS', 'IMAGES'), help='a COCO data set to test on; can be given several times')
    parser.add_argument('--seeds', type=int, default=3, help='number of seeds (default: 3)')
    parser.add_argument('--epochs', type=int, default=4, help='times that each crop is seen (default: 4)')
    parser.add_argument('--batch-size', type=int, default=32, help='crops in a step (default: 32)')
    parser.add_argument(
        '--lr', type=float, default=1e-3, help='learning rate of AdamW, a tenth of it for the backbone (default: 1e-3)'
    )
    parser.add_argument(
        '--weights', default=WEIGHTS, help='a ResNet-18 of ImageNet to start from (default: %(default)s)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/classifier.json'),
        help='file of the results; an interrupted run continues it',
    )
    args = parser.parse_args()
    MMLogger.get_instance('classifier', log_level='WARNING')  # the backbone would list every weight that it loads
    training = read_part(args.train)
    testing = read_part(args.test, Segmenter(bundled.CONFIG, bundled.CHECKPOINT))
    counts = {name: int((testing['label'] == label).sum()) for label, name in enumerate(SUPERCATEGORIES)}
    print(f'{len(training["label"])} crops to train on, {len(testing["label"])} to test on: {counts}', flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = json.loads(args.out.read_text()) if args.out.exists() else {}
    for seed in range(args.seeds):
        for arm, versions in ARMS.items():
            if (key := f'{arm} {seed}') not in done:
                model = train(training, versions, seed, args)
                done[key] = {test: accuracy(model, testing[test], testing['label']) for test in TESTS}
                args.out.write_text(json.dumps(done, indent=1))
                print(f'{key}: {json.dumps(done[key])}', flush=True)
    results = {arm: [done[f'{arm} {seed}'] for seed in range(args.seeds)] for arm in ARMS}
    for metric in ('accuracy', 'mean accuracy of the classes'):
        print(f'\n{metric}:\n\n{make_table(results, metric)}')


if __name__ == '__main__':
    main()
