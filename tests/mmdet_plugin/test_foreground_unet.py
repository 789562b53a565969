"""The U-Net: losses against their formulas, targets, results, and whether it learns."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from scipy import ndimage
from tiny_unet import build, sample, tiny_config

from solo_bg import SetupError
from solo_bg.models.detector import build_detector
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.scenes import draw_scene

with quiet_imports():
    from solo_bg.mmdet_plugin.foreground_parts import connected_parts
    from solo_bg.mmdet_plugin.foreground_unet import ForegroundHead, binary_cross_entropy, soft_iou


@pytest.fixture(scope='module')
def model():
    return build(tiny_config())


@pytest.fixture
def head():
    return ForegroundHead(8)


def random_masks(rng, *shape):
    return rng.random(shape) < 0.5


def test_losses_are_their_formulas(rng):
    logits, targets, counted = rng.normal(0, 2, (3, 5, 7)), random_masks(rng, 3, 5, 7), random_masks(rng, 3, 5, 7)
    probability = 1 / (1 + np.exp(-logits))
    entropy = -np.where(targets, np.log(probability), np.log(1 - probability))[counted].mean()
    jaccard = []
    for p, t, c in zip(probability, targets, counted, strict=True):
        both = (p * t)[c].sum()
        jaccard.append((both + 1) / (p[c].sum() + t[c].sum() - both + 1))
    given = [torch.from_numpy(one).double() for one in (logits, targets, counted)]
    assert binary_cross_entropy(*given).item() == pytest.approx(entropy)
    np.testing.assert_allclose(soft_iou(given[0].sigmoid(), *given[1:]), jaccard)


def test_losses_of_the_head(head, rng):
    logits = torch.from_numpy(rng.normal(0, 2, (2, 6, 6))).float()
    masks = random_masks(rng, 2, 1, 6, 6)
    head.forward = lambda x: logits
    head.bce_weight, head.jaccard_weight = 0.5, 3
    losses = head.loss(None, [sample(one) for one in masks])
    targets, counted = torch.from_numpy(masks[:, 0]).float(), torch.ones(2, 6, 6)
    assert losses['loss_bce'] == 0.5 * binary_cross_entropy(logits, targets, counted)
    torch.testing.assert_close(losses['loss_jaccard'], 3 * (1 - soft_iou(logits.sigmoid(), targets, counted)).mean())
    hits, either = ((logits > 0) & (targets > 0)).sum((1, 2)), ((logits > 0) | (targets > 0)).sum((1, 2))
    torch.testing.assert_close(losses['iou'], ((hits + 1) / (either + 1)).mean())


def test_targets_are_the_union_of_the_chosen_classes(head):
    masks = np.zeros((3, 4, 4), bool)
    masks[0, 0], masks[1, 1], masks[2, 2] = True, True, True
    crowd = np.zeros((4, 4), bool)
    crowd[2:] = True
    logits = torch.zeros(2, 8, 8)  # padded
    samples = [sample(masks, [0, 1, 2], crowd), sample(np.zeros((0, 6, 8), bool))]
    targets, counted = head.targets(samples, logits)
    assert targets[0, :3, :4].all() and targets.sum() == 12
    assert counted[0, :3, :4].all() and counted[0].sum() == 12  # row 3 is crowd alone, the rest is padding
    assert counted[1, :6].all() and counted[1].sum() == 48
    head.labels = (0, 2)
    targets, counted = head.targets(samples, logits)
    assert targets[0, 0, :4].all() and targets[0, 2, :4].all() and targets.sum() == 8
    assert counted[0, :3, :4].all() and counted[0].sum() == 12


def test_images_of_several_sizes_without_objects_have_losses(model):
    batch = {'inputs': [torch.zeros(3, 40, 64, dtype=torch.uint8), torch.zeros(3, 64, 32, dtype=torch.uint8)]}
    batch['data_samples'] = [sample(np.zeros((0, 40, 64), bool)), sample(np.ones((1, 64, 32), bool))]
    losses = model.train()(**model.data_preprocessor(batch, True), mode='loss')
    assert set(losses) == {'loss_bce', 'loss_jaccard', 'iou'}
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize('depth', [18, 34, 50])
@pytest.mark.parametrize('size', [(1, 1), (33, 47), (64, 96)])
def test_a_logit_for_each_pixel(depth, size):
    model = build(tiny_config(depth, base=4)).eval()
    with torch.no_grad():
        features = model.extract_feat(torch.zeros(2, 3, *size))
        assert model.mask_head(features).shape == (2, *size)


def test_the_backbone_computes_the_same_as_alone(model):
    x = torch.randn(1, 3, 64, 64)
    kept, seen = model.neck.forward, []
    model.eval().neck.forward = lambda features: seen.append(features) or kept(features)
    with torch.no_grad():
        model.extract_feat(x)
        alone = model.backbone(x)
        stem = model.backbone.relu(model.backbone.norm1(model.backbone.conv1(x)))
    model.neck.forward = kept
    for first, second in zip(seen[0], (stem, *alone), strict=True):
        assert torch.equal(first, second)
    assert not model.backbone.maxpool._forward_pre_hooks


def predicted(head, logits, **more):
    head.forward = lambda x: logits[None]
    (found,) = head.predict(None, [sample(np.zeros((0, *logits.shape), bool), **more)])
    return found


def test_one_instance_scored_by_its_mean_probability(head, rng):
    logits = torch.from_numpy(rng.normal(0, 2, (9, 7))).float()
    found = predicted(head, logits)
    assert torch.equal(found.masks[0], logits > 0) and found.masks.dtype == torch.bool
    assert found.scores[0].item() == pytest.approx(logits.sigmoid()[logits > 0].mean().item())
    assert found.labels.tolist() == [0] and found.labels.dtype == torch.int64


def test_padding_is_cut_off_and_the_image_gets_its_own_size(head):
    logits = torch.full((8, 8), -5.0)
    logits[:4, :3] = 5
    logits[:, 6:] = 5  # in the padding
    head.forward = lambda x: logits[None]
    (found,) = head.predict(None, [sample(np.zeros((0, 8, 6), bool), shape=(8, 6), original=(16, 24))])
    assert found.masks.shape == (1, 16, 24) and not found.masks[0, :, 13:].any() and found.masks[0, :7, :11].all()


def test_nothing_is_found_where_nothing_is(head):
    found = predicted(head, torch.full((5, 6), -3.0))
    assert found.masks.shape == (0, 5, 6) and len(found.scores) == len(found.labels) == 0


def test_one_instance_for_each_connected_part(head):
    logits = torch.full((10, 10), -4.0)
    logits[0:2, 0:2], logits[5:9, 5:9], logits[9, 0] = 1, 3, 5
    head.test_cfg.update(parts=True)
    found = predicted(head, logits)
    assert found.masks.sum((1, 2)).tolist() == [1, 16, 4]  # by score
    assert found.scores.tolist() == pytest.approx(torch.tensor([5.0, 3, 1]).sigmoid().tolist())
    head.test_cfg.update(min_area=4)
    assert predicted(head, logits).masks.sum((1, 2)).tolist() == [16, 4]
    head.test_cfg.update(max_per_img=1)
    assert predicted(head, logits).masks.sum((1, 2)).tolist() == [16]


def test_parts_are_scipys(rng):
    mask = ndimage.gaussian_filter(rng.normal(size=(40, 60)), 2) > 0.05
    numbers, count = ndimage.label(mask, np.ones((3, 3)))
    found = connected_parts(torch.from_numpy(mask), 1, 1000).numpy()
    assert len(found) == count > 5
    expected = {(numbers == number).tobytes() for number in range(1, count + 1)}
    assert {part.tobytes() for part in found} == expected
    assert (np.diff(found.sum((1, 2))) <= 0).all()


def test_a_backbone_that_is_no_resnet_is_refused():
    config = tiny_config()
    config.model.backbone = ConfigDict(type='MobileNetV2')
    with pytest.raises(SetupError, match=r'needs a ResNet as backbone.*got MobileNetV2'):
        build_detector(config)


def test_as_many_channels_as_feature_maps():
    config = tiny_config()
    config.model.neck.channels = (16, 8)
    with pytest.raises(SetupError, match='one number for each of in_channels'):
        build_detector(config)


@pytest.mark.slow
def test_it_learns_four_scenes_by_heart():
    size = 64
    scenes = [draw_scene(seed, size, size, max_shapes=2) for seed in range(4)]
    model = build(tiny_config()).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(120):
        batch = {
            'inputs': [torch.from_numpy(image).permute(2, 0, 1) for image, _ in scenes],
            'data_samples': [sample(masks) for _, masks in scenes],
        }
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        optimizer.zero_grad()
        (losses['loss_bce'] + losses['loss_jaccard']).backward()
        optimizer.step()
    batch['data_samples'] = [sample(masks) for _, masks in scenes]
    with torch.no_grad():
        found = model.eval().test_step(batch)
    for (_, masks), one in zip(scenes, found, strict=True):
        mask, wanted = one.pred_instances.masks[0].numpy(), masks.any(0)
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.95


def test_crop_to_objects(rng):
    from mmdet.registry import TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    import solo_bg.mmdet_plugin.crop_to_objects  # noqa: F401

    image = np.stack([*np.mgrid[:60, :80], np.zeros((60, 80))], -1).astype(np.uint8)  # a pixel knows where it was
    masks = np.zeros((3, 60, 80), np.uint8)
    cv2.circle(masks[0], (30, 20), 8, 1, -1)
    masks[1, 25:40, 35:50] = 1
    masks[2] = 1 - masks[:2].max(0)
    results = {'img': image, 'gt_masks': BitmapMasks(masks, 60, 80), 'gt_ignore_flags': np.array([0, 0, 1])}
    results |= {'gt_bboxes_labels': np.array([4, 5, 6]), 'gt_bboxes': results['gt_masks'].get_bboxes(HorizontalBoxes)}
    crop = TRANSFORMS.build({'type': 'CropToObjects', 'least': 0.1, 'most': 0.2})
    np.random.seed(0)
    after = crop(results)
    (y0, x0, _), (y1, x1, _) = after['img'][0, 0], after['img'][-1, -1]
    np.testing.assert_array_equal(after['img'], image[y0 : y1 + 1, x0 : x1 + 1])
    np.testing.assert_array_equal(after['gt_masks'].masks, masks[:2, y0 : y1 + 1, x0 : x1 + 1])
    assert after['gt_masks'].masks.sum() == masks[:2].sum() and after['gt_bboxes_labels'].tolist() == [4, 5]
    assert after['gt_bboxes'].tensor.tolist() == after['gt_masks'].get_bboxes(HorizontalBoxes).tensor.tolist()
    box = np.array([22, 12, 50, 40])
    assert (np.array([x0, y0]) <= box[:2] - 2).all() and (np.array([x0, y0]) >= box[:2] - 7).all()
    assert after['img_shape'] == after['img'].shape[:2]

    nothing = {'img': image, 'gt_ignore_flags': np.zeros(0)}
    assert crop(nothing)['img'] is image
