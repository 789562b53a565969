"""Each window-based model learns four drawn scenes by heart and finds their objects again in the whole images.

The trunk is that of the bundled model and stays as it is, so its features are computed once and only the head learns.
"""

import json

import cv2
import numpy as np
import pytest
import torch
from coco_data import encode
from conftest import CHECKPOINT
from small_families import small_config

from solo_bg.models.detector import build_detector, find_instances
from solo_bg.scenes import draw_scene

pytestmark = pytest.mark.slow
SIZE = (160, 200)
HEADS = {
    'deepmask_r18': {
        'mask_head': {'in_channels': 256, 'feat_channels': 32, 'rank': 128, 'score_channels': (64, 64)},
        'test_cfg': {'scales': [0.7, 1, 1.4, 2, 2.8], 'max_per_img': 100},
    },
    'instancefcn_r18': {
        'backbone': {'num_stages': 3, 'strides': (1, 2, 1), 'dilations': (1, 1, 2), 'out_indices': (2,)},
        'mask_head': {'in_channels': 256, 'feat_channels': 128},
        'test_cfg': {'shorter_sides': [107, 135, 160, 200, 240, 300, 360], 'max_per_img': 100},
    },
}
EXAMPLES = {'deepmask_r18': 192, 'instancefcn_r18': 32}  # windows, or images in several scales
STEPS = {'deepmask_r18': 1200, 'instancefcn_r18': 1000}
BATCH = {'deepmask_r18': 32, 'instancefcn_r18': 2}


@pytest.fixture(scope='module')
def scenes():
    """Four scenes whose objects are at least 40 pixels long."""
    drawn = (draw_scene(seed, *SIZE, 3) for seed in range(100))
    large = [(image, masks) for image, masks in drawn if min(np.ptp(mask.nonzero(), 1).max() for mask in masks) >= 39]
    return large[:4]


def write(scenes, root):
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'shape'}]}
    (root / 'images').mkdir()
    for number, (image, masks) in enumerate(scenes):
        cv2.imwrite(str(root / f'images/{number}.png'), image)
        coco['images'].append({'id': number, 'file_name': f'{number}.png', 'height': SIZE[0], 'width': SIZE[1]})
        for mask in masks:
            (y0, x0), (y1, x1) = np.argwhere(mask).min(0).tolist(), np.argwhere(mask).max(0).tolist()
            facts = {'id': len(coco['annotations']) + 1, 'image_id': number, 'category_id': 1, 'iscrowd': 0}
            shape = {'bbox': [x0, y0, x1 - x0 + 1, y1 - y0 + 1], 'area': int(mask.sum()), 'segmentation': encode(mask)}
            coco['annotations'].append({**facts, **shape})
    (root / 'instances.json').write_text(json.dumps(coco))


def examples(model, dataset, count):
    """Training examples of the config's own pipeline, as the trunk's features and their annotations."""
    from mmengine.dataset import pseudo_collate

    drawn = []
    for number in range(count):
        batch = model.data_preprocessor(pseudo_collate([dataset[number % len(dataset)]]), training=True)
        with torch.no_grad():
            (features,) = model.extract_feat(batch['inputs'])
        drawn.append((batch['inputs'], features, batch['data_samples'][0]))
    return drawn


def learn(model, drawn, steps, batch_size, rng):
    """Train the head on examples of one size at a time."""
    optimizer = torch.optim.AdamW(model.mask_head.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    extract = model.extract_feat
    for _ in range(steps):
        shape = drawn[rng.integers(len(drawn))][0].shape
        alike = [one for one in drawn if one[0].shape == shape]
        pixels, features, samples = zip(*(alike[row] for row in rng.integers(len(alike), size=batch_size)), strict=True)
        known = torch.cat(features)
        model.extract_feat = lambda _, known=known: (known,)
        loss = sum(model.loss(torch.cat(pixels), list(samples)).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.mask_head.parameters(), 10)
        optimizer.step()
        schedule.step()
    model.extract_feat = extract


@pytest.mark.parametrize('name', list(HEADS))
def test_four_scenes(name, scenes, tmp_path, monkeypatch):
    from mmdet.registry import DATASETS
    from mmdet.structures import DetDataSample

    write(scenes, tmp_path)
    trunk = {'type': 'Pretrained', 'checkpoint': str(CHECKPOINT), 'prefix': 'backbone.'}
    changes = {f'model.{part}.{key}': value for part, given in HEADS[name].items() for key, value in given.items()}
    config = small_config(
        name, tmp_path, **changes, **{'model.backbone.base_channels': 64, 'model.backbone.init_cfg': trunk}
    )
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'RandomChoiceResize':
            step.scales = [(600, side) for side in (107, 135, 160, 200, 240, 300, 360)]
    torch.manual_seed(0)
    np.random.seed(0)
    model = build_detector(config)
    model.init_weights()
    model.train()
    drawn = examples(model, DATASETS.build(config.train_dataloader.dataset), EXAMPLES[name])
    learn(model, drawn, STEPS[name], BATCH[name], np.random.default_rng(0))
    model.eval()
    best = []
    for image, masks in scenes:
        sample = DetDataSample(metainfo={'img_shape': SIZE, 'ori_shape': SIZE})
        batch = {'inputs': [torch.from_numpy(image).permute(2, 0, 1)], 'data_samples': [sample]}
        with torch.no_grad():
            (instances,) = find_instances(model, batch, ('object',))
        found = instances.masks.numpy()
        for mask in masks:
            overlaps = (found & mask).sum((1, 2)) / (found | mask).sum((1, 2))
            best.append((float(overlaps.max()), int(overlaps.argmax())))
    assert len(best) >= 6 and np.mean([overlap for overlap, _ in best]) > 0.8, best
