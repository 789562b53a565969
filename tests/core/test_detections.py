"""The adapters to and from supervision's `Detections`, against supervision itself."""

import numpy as np
import pytest
import supervision
import torch
from conftest import CLASSES
from random_masks import random_masks
from supervision.detection.compact_mask import CompactMask

from solo_bg import Instances, as_instances, to_detections
from solo_bg.scenes import draw_scene

SIZE = (20, 24)


@pytest.fixture
def instances(rng):
    masks = torch.from_numpy(random_masks(rng, 4, *SIZE) | np.eye(*SIZE, dtype=bool))  # none is empty
    return Instances(masks, torch.tensor([2, 0, 2, 0]), torch.tensor([0.9, 0.7, 0.5, 0.2]), CLASSES)


def test_supervision_accepts_them(instances):
    detections = to_detections(instances)
    np.testing.assert_array_equal(detections.mask, instances.masks)
    np.testing.assert_array_equal(detections.area, instances.areas)
    assert list(detections.data['class_name']) == ['dog', 'person', 'dog', 'person']
    half_open = supervision.mask_to_xyxy(detections.mask) + np.array([0, 0, 1, 1])  # theirs name the last pixel
    np.testing.assert_array_equal(detections.xyxy, half_open)
    kept = detections[detections.confidence > 0.6]
    assert kept.class_id.tolist() == [2, 0]
    drawn = supervision.MaskAnnotator(opacity=1.0).annotate(np.zeros((*SIZE, 3), np.uint8), kept)
    np.testing.assert_array_equal(drawn.any(2), instances[:2].union)


@pytest.mark.parametrize('names', [CLASSES, ()])
def test_there_and_back(instances, names):
    back = as_instances(to_detections(instances), SIZE, names)
    assert torch.equal(back.masks, instances.masks) and torch.equal(back.boxes, instances.boxes)
    assert torch.equal(back.labels, instances.labels) and torch.equal(back.scores, instances.scores)
    assert back.names == instances.names
    assert back.class_names == (names or ('person', '1', 'dog'))  # no detection is a cat


def test_none_there_and_back():
    detections = to_detections(Instances.empty(SIZE, CLASSES))
    assert len(detections) == 0 and detections.mask.shape == (0, *SIZE)
    for nothing in (detections, supervision.Detections.empty()):
        back = as_instances(nothing, SIZE, CLASSES)
        assert len(back) == 0 and back.size == SIZE and back.class_names == CLASSES


def test_masks_alone_and_packed_ones(instances):
    masks, boxes = instances.masks.numpy(), instances.boxes.numpy()
    alone = as_instances(supervision.Detections(xyxy=boxes, mask=masks), SIZE)
    assert torch.equal(alone.masks, instances.masks)
    assert alone.labels.tolist() == [0] * 4 and alone.scores.tolist() == [1.0] * 4 and alone.class_names == ()
    packed = CompactMask.from_dense(masks, boxes, SIZE)
    assert torch.equal(as_instances(supervision.Detections(xyxy=boxes, mask=packed), SIZE).masks, instances.masks)


def test_what_mmdet_found_is_the_same_through_supervision(segmenter):
    image = draw_scene(5)[0]
    found = segmenter([image])[0]
    back = as_instances(to_detections(found), image.shape[:2])
    assert len(found) and torch.equal(back.masks, found.masks) and back.names == found.names


def test_boxes_without_masks_are_refused():
    with pytest.raises(TypeError, match='1 boxes but no masks'):
        as_instances(supervision.Detections(xyxy=np.array([[0, 0, 1, 1]])), SIZE)
