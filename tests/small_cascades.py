"""MNC and the pixel embeddings of configs/families, made small, with random weights and drawn scenes."""

import numpy as np
import torch
from conftest import ROOT

from solo_bg.models.config import load_config
from solo_bg.models.detector import build_detector
from solo_bg.scenes import draw_scene

SMALL = {
    'mnc_r18': {
        'backbone': {'base_channels': 8, 'init_cfg': None, 'frozen_stages': -1},
        'neck': {'in_channels': [32], 'out_channels': 16},
        'rpn_head': {'in_channels': 16, 'feat_channels': 16},
        'roi_head': {'num_classes': 2, 'in_channels': 16, 'mask_channels': 32, 'class_channels': 32},
        'train_cfg': {'rpn_proposal.max_per_img': 30, 'rcnn.sampler.num': 16},
        'test_cfg': {'rpn.max_per_img': 15, 'rcnn.max_per_img': 10},
    },
    'embeddings_r18': {
        'backbone': {'base_channels': 8, 'init_cfg': None, 'frozen_stages': -1},
        'mask_head': {'num_classes': 2, 'in_channels': [8, 16, 64], 'channels': 16, 'dimensions': 8},
        'test_cfg': {'max_per_img': 20},
    },
}
CLASSES = ('round', 'other')


def small_config(name, data=None, **options):
    """The config `name`, small, for images of about 100 pixels. `data` is the folder that `make_dataset` filled."""
    small = {f'model.{part}.{key}': value for part, of_part in SMALL[name].items() for key, value in of_part.items()}
    config = load_config(ROOT / f'configs/families/{name}.py', {**small, **options})
    config.test_dataloader.dataset.pipeline[1].scale = (96, 64)
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root=str(data),
            ann_file='instances.json',
            data_prefix={'img': 'images/'},
            metainfo={'classes': CLASSES},
        )
    for metric in config.test_evaluator:
        metric.ann_file = f'{data}/instances.json'
    return config


def small_model(name, **options):
    """The small model with random weights, ready to predict."""
    torch.manual_seed(0)
    return build_detector(small_config(name, **options)).eval()


def save_small(name, folder):
    """Write the small config and random weights, which carry it as well; their paths."""
    config = small_config(name)
    torch.manual_seed(0)
    model = build_detector(config).eval()
    config.dump(folder / f'{name}.py')
    if name == 'embeddings_r18':  # random embeddings are so similar that all pixels would be one mask
        data = model.data_preprocessor({'inputs': [torch.from_numpy(draw_scene(7, 40, 60)[0]).permute(2, 0, 1)]})
        with torch.no_grad():
            embeddings, _ = model.mask_head(model.extract_feat(data['inputs']))
        model.mask_head.embed.weight.data /= embeddings.std((0, 2, 3)).mean()
    meta = {'dataset_meta': {'classes': CLASSES}, 'cfg': config.pretty_text}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, folder / f'{name}.pth')
    return folder / f'{name}.py', folder / f'{name}.pth'


def sample_of(masks, crowds=None, labels=None):
    """What training gets for an image with these masks, bool (N, H, W), and crowd regions."""
    from mmdet.structures import DetDataSample

    sample = DetDataSample(gt_instances=annotated(masks, labels), metainfo={'img_shape': masks.shape[1:]})
    if crowds is not None:
        sample.ignored_instances = annotated(crowds)
    return sample


def annotated(masks, labels=None):
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    boxes = [[*np.argwhere(mask.T).min(0), *(np.argwhere(mask.T).max(0) + 1)] for mask in masks]
    return InstanceData(
        bboxes=torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)),
        labels=torch.zeros(len(masks), dtype=torch.int64) if labels is None else torch.tensor(labels),
        masks=BitmapMasks(masks.astype(np.uint8), *masks.shape[1:]),
    )


def losses_of(model, images, samples):
    """The losses of a batch; images uint8 (H, W, 3), of any sizes."""
    inputs = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    data = model.data_preprocessor({'inputs': inputs, 'data_samples': samples}, True)
    return model.loss(data['inputs'], data['data_samples'])


def scenes(count, height=64, width=96, **options):
    """Drawn scenes: images, and masks of each."""
    return tuple(zip(*(draw_scene(seed, height, width, **options) for seed in range(count)), strict=True))


def overfit(name, steps, lr, **options):
    """Train the small model on four drawn scenes, and give it with them: model, images, masks, and labels."""
    model = small_model(name, **{'model.backbone.norm_eval': False, **options}).train()
    images, masks = scenes(4, 96, 128, max_shapes=3)
    labels = [[row % 2 for row in range(len(of_image))] for of_image in masks]
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        samples = [sample_of(*pair) for pair in zip(masks, [None] * 4, labels, strict=True)]
        loss, _ = model.parse_losses(losses_of(model, images, samples))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    return model.eval(), images, masks, labels


@torch.no_grad()
def found_in(model, images):
    """What the model finds in each image by itself, as `Instances`."""
    from mmdet.structures import DetDataSample

    from solo_bg.core.results import as_instances

    found = []
    for image in images:
        meta = {'img_shape': image.shape[:2], 'ori_shape': image.shape[:2]}
        inputs = {'inputs': [torch.from_numpy(image).permute(2, 0, 1)], 'data_samples': [DetDataSample(metainfo=meta)]}
        (sample,) = model.test_step(inputs)
        found.append(as_instances(sample, image.shape[:2]))
    return found


def best_ious(found, masks, labels):
    """The largest IoU of each object with a mask of its class that is sure, a score above 0.5."""
    sure = found.select(0.5)
    ious = []
    for mask, label in zip(masks, labels, strict=True):
        rows = (sure.labels == label).numpy()
        others = sure.masks.numpy()[rows]
        ious.append(max(((mask & one).sum() / (mask | one).sum() for one in others), default=0.0))
    return ious
