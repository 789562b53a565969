import numpy as np
import pytest
import torch
from coco_data import decode
from random_masks import random_masks

from solo_bg import Instances
from solo_bg.coco.carry_over import carry_over, keep_all
from solo_bg.coco.dataset import Labelled
from solo_bg.core import crops

NAMES = ('round', 'other')


def box_mask(x0, y0, x1, y1):
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


def labelled(*boxes, labels=None, crowd=()):
    masks = torch.stack([box_mask(*box) for box in boxes])
    labels = torch.tensor(labels or [0] * len(boxes))
    entries = [
        {
            'id': 10 + row,
            'segmentation': [[1.0, 1, 2, 2, 3, 3]],
            'iscrowd': int(row in crowd),
            'area': 7,
            'bbox': [1, 2, 3, 4],
            'mine': row,
        }
        for row in range(len(boxes))
    ]
    return Labelled({'id': 1}, entries, Instances(masks, labels, torch.ones(len(boxes)), NAMES))


def found(*boxes):
    masks = torch.stack([box_mask(*box) for box in boxes])
    return Instances(masks, torch.zeros(len(boxes)).long(), torch.full((len(boxes),), 0.7), ('thing',))


A, B, C = (0, 0, 10, 10), (15, 0, 25, 10), (0, 12, 10, 20)


def test_objects_that_stay_stay_as_they_were():
    given = labelled(A, B)
    carried = carry_over(found(A, (15, 0, 20, 10)), given, min_recall=0.5)
    assert carried.entries == given.entries and carried.decisions == {}  # half of B stays: not below 0.5
    assert carried.iou == pytest.approx(150 / 200) and carried.restored is None
    assert torch.equal(carried.instances.union, found(A, (15, 0, 20, 10)).union)


def test_by_default_no_annotated_pixel_turns_black():
    given, most = labelled(A, B, C), (15, 0, 25, 7)  # 70 of B's 100 pixels
    carried = carry_over(found(A, most), given)
    assert torch.equal(carried.instances.union, found(A, B, C).union)
    assert carried.entries == given.entries and carried.decisions == {'keep': [11, 12]}
    assert carried.restored == pytest.approx((30 + 80) / 280)  # C has 80 pixels, and nothing shows it
    assert carry_over(found(A, B, C), given).restored is None


@pytest.mark.parametrize('rule', ['ignore', 'drop'])
def test_other_rules_meet_objects_of_which_less_than_half_stays(rule):
    half, less = (15, 0, 20, 10), (0, 12, 10, 15)
    assert carry_over(found(A, half, less), labelled(A, B, C), rule).decisions == {rule: [12]}


def test_an_object_that_is_found_in_part_is_no_second_instance():
    given, most, little = labelled(A, B, C), (15, 2, 28, 9), (0, 12, 4, 20)
    carried = carry_over(found(A, most, little), given)
    names = ['thing', 'thing', 'thing', 'round']  # B's instance grows; C, of which 40% is shown, gets one of its own
    assert carried.instances.names == names
    grown = box_mask(*B) | box_mask(*most)
    for mask, expected in zip(
        carried.instances.masks, [box_mask(*A), grown, box_mask(*little), box_mask(*C)], strict=True
    ):
        assert torch.equal(mask, expected)
    assert carried.instances.boxes[1].tolist() == [15, 0, 28, 10]
    assert carried.instances.scores.tolist() == pytest.approx([0.7, 0.7, 0.7, 1])


@pytest.mark.parametrize('seed', range(10))
def test_what_is_restored_is_what_was_annotated(seed):
    rng = np.random.default_rng(seed)
    masks = [torch.from_numpy(random_masks(rng, 6, 20, 30)) for _ in range(2)]
    instances = [Instances(one, torch.zeros(6).long(), torch.ones(6), ('round',)) for one in masks]
    crowd = int(masks[1].sum((1, 2)).argmin())
    entries = [{'id': row, 'segmentation': [[1]], 'iscrowd': int(row == crowd)} for row in range(6)]
    carried = carry_over(instances[0], Labelled({'id': 1}, entries, instances[1]))
    found, wanted, crowds = masks[0].any(0), masks[1].any(0), masks[1][crowd]
    assert torch.equal(carried.instances.union, found | wanted)
    black = int((wanted & ~found & ~crowds).sum())
    assert carried.restored == (pytest.approx(black / int((wanted & ~crowds).sum())) if black else None)
    assert all(mask.any() for mask in carried.instances.masks[6:])
    for before, after in zip(masks[0], carried.instances.masks, strict=False):
        assert (after | ~before).all()


def test_large_masks_stay_packed(monkeypatch):
    given, parts = labelled(A, B), found((0, 0, 10, 7), (15, 0, 25, 7))
    plain = carry_over(parts, given).instances
    monkeypatch.setattr(crops, 'PACKED_FROM', 50)
    packed = carry_over(parts, given).instances
    assert all(isinstance(crop, crops.Packed) for crop in packed.crops.held)
    assert torch.equal(packed.masks, plain.masks) and torch.equal(plain.union, found(A, B).union)


def test_what_was_wrong_with_annotations_is_among_the_decisions():
    given = labelled(A)
    given.decisions['skipped'] = [99]
    assert carry_over(found(B), given, 'drop').decisions == {'skipped': [99], 'drop': [10]}
    assert given.decisions == {'skipped': [99]}


@pytest.mark.parametrize('rule', ['keep', 'ignore', 'drop'])
def test_a_missed_object(rule):
    given = labelled(A, B, C)
    part = (15, 0, 19, 10)  # 40 of B's 100 pixels
    carried = carry_over(found(A, part, C), given, rule, 0.5)
    assert carried.decisions == {rule: [11]}
    expected = found(A, B, C).union if rule == 'keep' else found(A, part, C).union
    assert torch.equal(carried.instances.union, expected)
    kept = [entry['id'] for entry in carried.entries]
    assert kept == ([10, 12] if rule == 'drop' else [10, 11, 12])
    if rule == 'ignore':
        entry = carried.entries[1]
        assert entry['iscrowd'] == 1 and entry['mine'] == 1
        np.testing.assert_array_equal(decode(entry['segmentation'], (20, 30)), box_mask(*B))
        assert given.entries[1]['iscrowd'] == 0  # the given data set is not touched
    elif rule == 'keep':
        assert carried.entries == given.entries
        assert carried.instances.names == ['thing', 'thing', 'thing', 'round']


def test_the_margin_counts():
    given, near = labelled(B), found((15, 0, 19, 10))
    assert carry_over(near, given, 'drop', 0.5).decisions == {'drop': [10]}
    assert carry_over(near, given, 'drop', 0.5, margin=2).decisions == {}


def test_other_classes_leave_and_so_do_their_pixels():
    carried = carry_over(found(A), labelled(A, B, C, labels=[0, 1, 1]), 'keep', 0.5, ['round'])
    assert [entry['id'] for entry in carried.entries] == [10] and carried.decisions == {}
    assert torch.equal(carried.instances.union, box_mask(*A)) and carried.iou == 1


def test_crowds_are_foreground_and_take_no_part():
    carried = carry_over(found(A), labelled(A, B, C, labels=[0, 0, 1], crowd=(1, 2)), 'drop', 0.5, ['round'])
    assert [entry['id'] for entry in carried.entries] == [10, 11] and carried.decisions == {}
    assert torch.equal(carried.instances.union, box_mask(*A) | box_mask(*B))


def test_agreement_is_measured_outside_crowds():
    given = labelled(A, B, crowd=(1,))
    assert carry_over(found(C), given).iou == 0 and carry_over(found(A, B), given).iou == 1
    assert carry_over(found(A, B)[[]], labelled(B, crowd=(0,))).iou is None


def test_where_the_whole_image_stays_so_do_the_annotations_of_the_chosen_classes():
    given = labelled(A, B, C, labels=[0, 1, 0], crowd=(2,))
    del given.entries[0]['area']
    assert [(entry['id'], entry['area']) for entry in keep_all(given, ['round'])] == [(10, 100), (12, 7)]
    assert [entry['id'] for entry in keep_all(given, None)] == [10, 11, 12]


def test_a_crowd_that_is_there_already_is_not_drawn_twice():
    given = labelled(A, B, crowd=(1,))
    assert len(carry_over(given.instances, given).instances) == 2


def test_boxes_are_told():
    given = labelled(A, B)
    del given.entries[1]['segmentation']
    assert carry_over(found(A, B), given).decisions == {'by its box': [11]}


def test_what_an_annotation_lacks_is_taken_from_its_mask():
    given = labelled(A, B)
    for key in ('iscrowd', 'area', 'bbox'):
        del given.entries[1][key]
    entry = carry_over(found(A, B), given).entries[1]
    assert (entry['iscrowd'], entry['area'], entry['bbox']) == (0, 100, [15, 0, 10, 10])


def test_nothing_annotated_and_nothing_found():
    nothing = Instances.empty((20, 30), NAMES)
    carried = carry_over(nothing, Labelled({'id': 1}, [], nothing))
    assert carried.iou is None and carried.entries == [] and len(carried.instances) == 0
    assert carry_over(found(A), Labelled({'id': 1}, [], nothing)).iou == 0


def test_an_alpha_stays_where_nothing_was_missed_and_is_opaque_on_restored_objects():
    found = Instances(box_mask(0, 0, 6, 6)[None], torch.tensor([0]), torch.tensor([0.9]), NAMES)
    alpha = found.union * torch.arange(130, 160, dtype=torch.uint8)
    annotated = labelled((0, 0, 6, 8), (20, 10, 25, 15))  # the first is found in part, the second not at all
    kept = carry_over(found.with_alpha(alpha), annotated).instances
    expected = torch.where(annotated.instances.union, 255, alpha)
    assert len(kept) == 2 and torch.equal(kept.union, annotated.instances.union)
    assert torch.equal(kept.alpha, expected)
    untouched = carry_over(found.with_alpha(alpha), labelled((0, 0, 6, 6))).instances
    assert torch.equal(untouched.alpha, alpha)
