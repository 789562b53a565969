"""The transform inside mmdet's pipeline, and against mmdet's own CopyPaste."""

import copy

import cv2
import numpy as np
import pytest
import torch
from banks import make_bank, noise_crops
from coco_data import make_dataset

from solo_bg import SetupError
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.datasets.transforms import CopyPaste
    from mmdet.registry import DATASETS
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks, PolygonMasks
    from mmengine.registry import init_default_scope

    from solo_bg.mmdet_plugin.paste_instances import PasteInstances

CLASSES = ('round', 'other')
PLAIN = {'size': 'pixels', 'scale': [1, 1], 'feather': 0, 'smallest': 1, 'prob': 1.0}


@pytest.fixture
def bank(tmp_path, rng):
    make_bank(tmp_path / 'bank', noise_crops(rng, [(14, 20), (25, 12)]), (60, 80), ['other', 'round'])
    return str(tmp_path / 'bank')


def results_of(rng, polygons=False, count=5):
    """What `LoadAnnotations` leaves: boxes of noise-free rectangles."""
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    masks = np.zeros((count, 60, 80), np.uint8)
    boxes = []
    for mask in masks:
        x, y, w, h = rng.integers(11, 50), rng.integers(11, 35), rng.integers(5, 30), rng.integers(5, 25)
        mask[y : y + h, x : x + w] = 1
        boxes.append([x, y, x + w, y + h])
    shapes = [[np.array([x0, y0, x1, y0, x1, y1, x0, y1], float)] for x0, y0, x1, y1 in boxes]
    return {
        'img': image,
        'img_path': 'a/b.jpg',
        'gt_bboxes': HorizontalBoxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        'gt_bboxes_labels': rng.integers(0, 2, count),
        'gt_ignore_flags': rng.random(count) < 0.3,
        'gt_masks': PolygonMasks(shapes, 60, 80) if polygons else BitmapMasks(masks, 60, 80),
    }


def changed(transform, results):
    return transform(copy.deepcopy(results))


@pytest.mark.parametrize('polygons', [False, True])
def test_the_same_as_copy_paste_where_that_one_can_do_it(bank, rng, polygons):
    """mmdet's CopyPaste gets the image with the pasted instances as its second image."""
    compared = removed = 0
    for seed in range(30):
        limits = {'bbox_occluded_thr': 6, 'mask_occluded_thr': 60}
        transform = PasteInstances(bank, CLASSES, seed=seed, count=[3, 3], hide=1, **limits, **PLAIN)
        results = results_of(rng, polygons)
        ours = changed(transform, results)
        bitmaps, old = ours['gt_masks'].to_ndarray(), len(ours['gt_masks']) - 3
        if not {int(mask.sum()) for mask in bitmaps[old:]} <= {280, 300}:
            continue  # the pasted ones hide each other, which those of CopyPaste's second image never do
        source = {'img': ours['img'], 'gt_masks': BitmapMasks(bitmaps[old:], 60, 80)}
        source |= {key: ours[key][old:] for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags')}
        given = copy.deepcopy(results)
        given['gt_masks'] = BitmapMasks(given['gt_masks'].to_ndarray(), 60, 80)
        theirs = CopyPaste(selected=False, **limits)({**given, 'mix_results': [source]})
        np.testing.assert_array_equal(ours['img'], theirs['img'])
        np.testing.assert_array_equal(bitmaps, theirs['gt_masks'].to_ndarray())
        assert torch.equal(ours['gt_bboxes'].tensor, theirs['gt_bboxes'].tensor)
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            np.testing.assert_array_equal(ours[key], theirs[key])
        assert isinstance(ours['gt_masks'], type(results['gt_masks']))
        removed += 5 - old
        compared += 1
    assert compared > 5 and removed > 0


def test_polygons_that_nothing_hides_stay_as_they_are(bank, rng):
    results = results_of(rng, polygons=True)
    outline = np.array([0.25, 0.5, 3.75, 0.5, 2.0, 4.5])
    results['gt_masks'].masks[0] = [outline]
    results['gt_bboxes'].tensor[0] = torch.tensor([0.25, 0.5, 3.75, 4.5])
    ours = changed(PasteInstances(bank, CLASSES, seed=1, count=[2, 2], hide=0, **PLAIN), results)
    assert len(ours['gt_masks']) > 5
    assert [len(polygons) for polygons in ours['gt_masks'].masks[:5]] == [1] * 5
    for before, after in zip(results['gt_masks'].masks, ours['gt_masks'].masks, strict=False):
        np.testing.assert_array_equal(before[0], after[0])
    assert torch.equal(ours['gt_bboxes'].tensor[:5], results['gt_bboxes'].tensor)


def test_labels_go_by_name_and_other_classes_stay_away(bank, rng):
    results = results_of(rng, count=0)
    for names in (('round', 'other'), ('x', 'other', 'round'), ('other',)):
        for seed in range(4):
            ours = changed(PasteInstances(bank, names, seed=seed, hide=0, **PLAIN), results)
            for mask, label in zip(ours['gt_masks'].masks, ours['gt_bboxes_labels'], strict=True):
                assert int(mask.sum()) == {'other': 280, 'round': 300}[names[label]]
    with pytest.raises(SetupError, match='one of the classes cat'):
        PasteInstances(bank, ('cat',))


def test_draws_follow_the_seed_or_numpy(bank, rng):
    results = results_of(rng, count=1)
    free, fixed = (PasteInstances(bank, CLASSES, seed=seed, **PLAIN) for seed in (None, 3))
    images = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        images.append(changed(free, results)['img'])
    assert (images[0] == images[1]).all() and (images[0] != images[2]).any()
    assert (changed(fixed, results)['img'] == changed(fixed, results)['img']).all()
    assert (changed(fixed, results)['img'] != changed(fixed, {**results, 'img_path': 'c.jpg'})['img']).any()


def test_the_probability(bank, rng):
    results = results_of(rng)
    never = PasteInstances(bank, CLASSES, **{**PLAIN, 'prob': 0})
    assert changed(never, results)['img'].tobytes() == results['img'].tobytes()
    np.random.seed(0)
    half = PasteInstances(bank, CLASSES, **{**PLAIN, 'prob': 0.5, 'hide': 1.0})
    count = sum((changed(half, results)['img'] != results['img']).any() for _ in range(60))
    assert 15 < count < 45


def test_what_is_wrong_is_said(bank, rng):
    with pytest.raises(ValueError, match='prob must be'):
        PasteInstances(bank, CLASSES, prob=2)
    with pytest.raises(ValueError, match='position'):
        PasteInstances(bank, CLASSES, position='left')
    results = results_of(rng)
    del results['gt_masks']
    with pytest.raises(ValueError, match='with_mask=True'):
        PasteInstances(bank, CLASSES, **PLAIN)(results)
    results = results_of(rng)
    results['img'] = results['img'][..., 0]
    with pytest.raises(ValueError, match=r'three channels, got an image of shape \(\d+, \d+\)'):
        PasteInstances(bank, CLASSES, **PLAIN)(results)


@pytest.mark.parametrize('poly2mask', [True, False])
def test_in_a_training_pipeline_of_mmdet(bank, tmp_path, poly2mask):
    make_dataset(tmp_path)
    init_default_scope('mmdet')
    np.random.seed(0)
    load = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': poly2mask}
    dataset = DATASETS.build(
        {
            'type': 'CocoDataset',
            'metainfo': {'classes': CLASSES},
            'ann_file': str(tmp_path / 'instances.json'),
            'data_prefix': {'img': str(tmp_path / 'images/')},
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                load,
                {'type': 'Resize', 'scale': (160, 120), 'keep_ratio': True},
                {'type': 'PasteInstances', 'bank': bank, 'class_names': CLASSES, 'prob': 1.0, 'smallest': 1},
                {'type': 'RandomFlip', 'prob': 0.5},
                {'type': 'PackDetInputs'},
            ],
        }
    )
    for index in range(len(dataset)):
        found = dataset[index]
        truth = found['data_samples'].gt_instances
        path = found['data_samples'].img_path
        plain = cv2.resize(cv2.imread(path), (160, 120))
        assert tuple(found['inputs'].shape) == (3, 120, 160) and found['inputs'].dtype == torch.uint8
        assert (found['inputs'].permute(1, 2, 0).numpy() != plain).any()
        bitmaps = truth.masks.to_ndarray()
        assert len(bitmaps) == len(truth.bboxes) == len(truth.labels) > 0
        around = BitmapMasks(bitmaps, 120, 160).get_bboxes(HorizontalBoxes).tensor
        assert (around - truth.bboxes.tensor).abs().max() <= 4  # the files' polygons lie within their boxes
        assert (bitmaps[-1].astype(int) + bitmaps[:-1].sum(0) <= max(len(bitmaps), 1)).all()
