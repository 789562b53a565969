import contextlib
import io
import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from solo_bg import Instances
from solo_bg.coco.carry_over import carry_over, category_ids, keep_all, number, predictions, pseudo_labels
from solo_bg.coco.dataset import Labelled, decode, encode
from solo_bg.runs.journal import Journal, Record
from solo_bg.runs.manifest import finish

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
    carried = carry_over(found(A, (15, 0, 20, 10)), given)
    assert carried.entries == given.entries and carried.decisions == {}  # half of B stays: not below 0.5
    assert carried.iou == pytest.approx(150 / 200)
    assert torch.equal(carried.instances.union, found(A, (15, 0, 20, 10)).union)


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
        np.testing.assert_array_equal(decode(entry, (20, 30)), box_mask(*B))
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


def test_pseudo_labels_load_in_pycocotools(tmp_path):
    masks = torch.stack([box_mask(*A), box_mask(3, 4, 9, 20), box_mask(0, 0, 0, 0)])
    instances = Instances(masks, torch.tensor([1, 0, 0]), torch.tensor([0.9, 0.5, 0.4]), NAMES)
    images = [({'file_name': 'b.png', 'height': 20, 'width': 30}, predictions(instances))]
    images.append(({'file_name': 'a.png', 'height': 20, 'width': 30}, predictions(instances[:1])))
    (tmp_path / 'a.json').write_text(json.dumps(data_set(images, NAMES)))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / 'a.json'))
    assert [(image['id'], image['file_name']) for image in coco.dataset['images']] == [(1, 'b.png'), (2, 'a.png')]
    assert [one['id'] for one in coco.dataset['annotations']] == [1, 2, 3]  # an instance without pixels is none
    for one, mask, box in zip(coco.imgToAnns[1], masks, ([0, 0, 10, 10], [3, 4, 6, 16]), strict=False):
        np.testing.assert_array_equal(coco.annToMask(one), mask)
        assert one['bbox'] == box and one['area'] == mask.sum()
    assert [one['category_id'] for one in coco.dataset['annotations']] == [2, 1, 2]
    assert [one['score'] for one in coco.imgToAnns[1]] == pytest.approx([0.9, 0.5])


def data_set(images, class_names):
    head = pseudo_labels(class_names)
    numbered = list(number(images, [category['id'] for category in head['categories']]))
    return {**head, 'images': [one for one, _ in numbered], 'annotations': [one for _, all in numbered for one in all]}


def test_classes_without_names_are_numbered_when_the_data_set_is_written(tmp_path):
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    entry = {'file_name': 'a.png', 'height': 2, 'width': 2}
    found = predictions(Instances(mask, torch.tensor([2]), torch.ones(1)))
    journal = Journal(tmp_path)
    journal.add(Record('a', 'ok', {'eliminated': 'eliminated/a.png'}, carried=(entry, found)))
    journal.close()
    finish(tmp_path, 1, {'head': pseudo_labels(()), 'numbered': True})
    coco = json.loads((tmp_path / 'annotations.json').read_text())
    assert coco['annotations'][0]['category_id'] == 3 and [one['name'] for one in coco['categories']] == ['0', '1', '2']


def test_cocos_own_category_ids():
    from mmdet.datasets import CocoDataset

    ids = category_ids(CocoDataset.METAINFO['classes'])
    names = dict(zip(CocoDataset.METAINFO['classes'], ids, strict=True))
    known = {'person': 1, 'stop sign': 13, 'cow': 21, 'backpack': 27, 'dining table': 67, 'toilet': 70, 'tv': 72}
    known |= {'book': 84, 'hair drier': 89, 'toothbrush': 90, 'skis': 35, 'wine glass': 46, 'refrigerator': 82}
    assert {name: names[name] for name in known} == known
    assert category_ids(('thing',)) == [1] and category_ids(tuple('ab')) == [1, 2]


def test_an_encoded_mask_is_plain_json():
    assert json.loads(json.dumps(encode(np.eye(4, dtype=bool))))['size'] == [4, 4]
