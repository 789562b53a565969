"""Turn a training checkpoint into the bundled one: calibrated scores, half precision, plain types.

    python tools/finish_tiny.py work_dirs/tiny_labelled/iter_2400.pth checkpoints/solo_bg_tiny.pth --data data/tiny \\
        --pretrained resnet50_caffe.pth

With `--pretrained`, the backbone goes a part of its way back to the weights that it started from, which makes up for
some of what it forgot in training ("Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903).

Calibration shifts two biases, those of the class convolution and of the foreground map, so that the default threshold
of 0.3 gives the best IoU of the union. It uses photographs that were set aside for it (`calibrate.json` of
`tools/prepare_tiny.py`) and drawn scenes of their own seeds. No photograph or scene of the test sets is read.
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from evaluate_union import iou
from prepare_tiny import CLASSES
from pycocotools.coco import COCO

from solo_bg import Segmenter
from solo_bg.disk.read import read_image
from solo_bg.models.checkpoint import load_checkpoint
from solo_bg.scenes import draw_scene

CONFIG = 'configs/solo_bg_tiny.py'
THRESHOLD = 0.3
FIRST_SEED, SCENES = 6_000_000, 40  # drawn scenes to calibrate on
CLASS_SHIFTS = [0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7]
FOREGROUND_SHIFTS = [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
AS_GOOD = 0.001  # of the IoU
USUAL = 1.2  # the class shift with which the foreground's is chosen


def mix_backbone(weights: dict[str, torch.Tensor], pretrained: Path, share: float) -> dict[str, torch.Tensor]:
    """Replace each weight of the backbone by `(1 - share)` of itself and `share` of its pretrained value."""
    before = {f'backbone.{name}': value for name, value in load_checkpoint(pretrained).state_dict.items()}
    if not weights.keys() & before.keys():
        raise ValueError(f'{pretrained} holds no weights of the backbone; expected names such as conv1.weight')
    return {
        name: torch.lerp(value, before[name], share) if name in before and value.is_floating_point() else value
        for name, value in weights.items()
    }


def halve_convolutions(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Half precision for convolutions; in it the first batch norm's variance would overflow."""
    return {name: value.half() if value.ndim == 4 else value for name, value in weights.items()}


def load_photographs(data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The photographs set aside for calibration, uint8 (H, W, 3) BGR, each with the union of its masks, bool (H, W)."""
    photographs = []
    for ann_file in sorted(data.glob('*/calibrate.json')):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(ann_file))
        for image_id in sorted(coco.imgs):
            masks = [coco.annToMask(annotation).astype(bool) for annotation in coco.imgToAnns[image_id]]
            if masks:
                path = ann_file.parent / 'images' / coco.imgs[image_id]['file_name']
                photographs.append((read_image(path), np.any(masks, axis=0)))
    return photographs


def draw_scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    """The drawn scenes of the calibration, in the same form."""
    drawn = [draw_scene(seed) for seed in range(FIRST_SEED, FIRST_SEED + SCENES)]
    return [(image, np.asarray(masks.any(0))) for image, masks in drawn]


def calibrate(segmenter: Segmenter, data: Path) -> tuple[float, float]:
    """The shifts of the class bias and of the foreground map's bias with the best mean IoU of the union.

    The foreground's is chosen first. Photographs count twice as much as scenes. Of class shifts that are as good, the
    smallest is taken: it finds the fewest spurious instances.
    """
    sets = [load_photographs(data), draw_scenes()]
    head = segmenter.model.mask_head
    classes, foreground = head.conv_cls.bias.data, head.foreground[-1].bias.data
    unshifted = classes.clone(), foreground.clone()

    def score(class_shift: float, foreground_shift: float) -> float:
        classes.copy_(unshifted[0] + class_shift)
        foreground.copy_(unshifted[1] + foreground_shift)
        means = []
        for pictures in sets:
            found = [segmenter([pixels])[0].select(THRESHOLD).union.numpy() for pixels, _ in pictures]
            means.append(np.mean([iou(mask, wanted) for mask, (_, wanted) in zip(found, pictures, strict=True)]))
        print(
            f'classes {class_shift:+.1f}, foreground {foreground_shift:+.1f}: '
            f'IoU of the union on photographs {means[0]:.3f}, on scenes {means[1]:.3f}',
            flush=True,
        )
        return float(np.average(means, weights=[2, 1]))

    best_foreground = max(FOREGROUND_SHIFTS, key=lambda shift: score(USUAL, shift))
    scores = {shift: score(shift, best_foreground) for shift in CLASS_SHIFTS}
    return min(shift for shift in CLASS_SHIFTS if scores[shift] > max(scores.values()) - AS_GOOD), best_foreground


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('trained', type=Path, help='training checkpoint')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    parser.add_argument(
        '--data', type=Path, default=Path('data/tiny'), help='folder that prepare_tiny.py wrote (default: data/tiny)'
    )
    parser.add_argument('--pretrained', type=Path, help='the weights that the backbone started from')
    parser.add_argument('--share', type=float, default=0.2, help='their share in the backbone (default: 0.2)')
    args = parser.parse_args()

    weights = load_checkpoint(args.trained).state_dict
    if args.pretrained:
        weights = mix_backbone(weights, args.pretrained, args.share)
    weights = halve_convolutions(weights)
    meta = {
        'dataset_meta': {'classes': list(CLASSES)},
        'recipe': 'configs/solo_bg_tiny_train.py, then tools/finish_tiny.py; see checkpoints/README.md',
    }
    with tempfile.TemporaryDirectory() as folder:
        torch.save({'state_dict': weights, 'meta': meta}, Path(folder) / 'raw.pth')
        segmenter = Segmenter(CONFIG, Path(folder) / 'raw.pth', device='cpu')
    shifts = calibrate(segmenter, args.data)
    for name, shift in zip(('mask_head.conv_cls.bias', 'mask_head.foreground.2.bias'), shifts, strict=True):
        weights[name] = weights[name] + shift
    torch.save({'state_dict': weights, 'meta': {**meta, 'bias_shifts': list(shifts)}}, args.out)
    print(
        f'shifted classes by {shifts[0]:+.1f} and the foreground by {shifts[1]:+.1f}; '
        f'wrote {args.out}, {args.out.stat().st_size / 1e6:.1f} MB'
    )


if __name__ == '__main__':
    main()
