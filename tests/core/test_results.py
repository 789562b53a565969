from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CLASSES
from pycocotools import mask as rle
from random_masks import random_masks

from solo_bg import Instances, as_instances

SIZE = (20, 24)
LABELS, SCORES = [0, 0, 1, 2], [0.5, 0.9, 0.7, 0.2]


@pytest.fixture
def masks(rng):
    return random_masks(rng, 4, *SIZE)


def check(instances, masks):
    assert isinstance(instances, Instances)
    np.testing.assert_array_equal(instances.masks, masks)
    assert instances.labels.tolist() == LABELS and instances.labels.dtype == torch.int64
    assert instances.scores.tolist() == pytest.approx(SCORES) and instances.scores.dtype == torch.float32
    assert instances.class_names == CLASSES and instances.size == SIZE


def tensors(masks):
    return torch.from_numpy(masks), torch.tensor(LABELS), torch.tensor(SCORES)


@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.float32])
def test_original_solo(masks, dtype):
    found, labels, scores = tensors(masks)
    check(as_instances([(found.to(dtype), labels, scores)], SIZE, CLASSES), masks)
    check(as_instances((found.to(dtype), labels, scores), SIZE, CLASSES), masks)


@pytest.mark.parametrize('result', [None, [None]])
def test_original_solo_without_instances(result):
    nothing = as_instances(result, SIZE, CLASSES)
    assert len(nothing) == 0 and nothing.size == SIZE and nothing.class_names == CLASSES


def test_mmdet_3(masks):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    found, labels, scores = tensors(masks)
    data = InstanceData(masks=found, labels=labels, scores=scores, bboxes=torch.zeros(4, 4))
    sample = DetDataSample(pred_instances=data)
    check(as_instances(data, SIZE, CLASSES), masks)
    check(as_instances(sample, SIZE, CLASSES), masks)
    check(as_instances([sample], SIZE, CLASSES), masks)


def test_mmdet_3_without_instances_has_other_types():
    data = SimpleNamespace(masks=torch.zeros(0, *SIZE), labels=torch.ones(0), scores=torch.ones(0))
    nothing = as_instances(data, SIZE, CLASSES)
    assert nothing.masks.dtype == torch.bool and nothing.labels.dtype == torch.int64


@pytest.mark.parametrize('form', ['arrays', 'compressed', 'uncompressed', 'mask scoring'])
def test_mmdet_2(masks, form):
    boxes = [np.array([[0, 0, 1, 1, score] for score in part], np.float32) for part in ([0.5, 0.9], [0.7], [0.2])]
    forms = {
        'arrays': lambda mask: mask,
        'mask scoring': lambda mask: mask,
        'compressed': lambda mask: rle.encode(np.asfortranarray(mask.astype(np.uint8))),
        'uncompressed': uncompressed,
    }
    found = [forms[form](mask) for mask in masks]
    segments = [found[:2], found[2:3], found[3:]]
    if form == 'mask scoring':
        segments = segments, [[0.5, 0.9], [0.7], [0.2]]
    check(as_instances((boxes, segments), SIZE, CLASSES), masks)


def uncompressed(mask):
    """COCO's run lengths as numbers, column after column, beginning with the zeros."""
    flat = mask.flatten(order='F')
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {'size': list(mask.shape), 'counts': [0, *runs] if flat[0] else runs}


def test_mmdet_2_without_instances():
    nothing = as_instances(([np.zeros((0, 5))] * 3, [[], [], []]), SIZE, CLASSES)
    assert len(nothing) == 0 and nothing.size == SIZE


def test_instances_pass_through(masks):
    given = Instances(*tensors(masks), CLASSES)
    assert as_instances(given, SIZE) is given
    check(as_instances(Instances(*tensors(masks)), SIZE, CLASSES), masks)


def test_masks_of_another_size_are_resized(masks):
    assert as_instances([tensors(masks)], (40, 48), CLASSES).masks.shape == (4, 40, 48)


def test_anything_else_is_named():
    with pytest.raises(TypeError, match='cannot read a result of type dict'):
        as_instances({'masks': 1}, SIZE)
    with pytest.raises(TypeError, match='one mask for each box'):
        as_instances(([np.zeros((1, 5))], [[]]), SIZE)
