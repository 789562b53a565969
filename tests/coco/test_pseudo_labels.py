import contextlib
import io
import json

import numpy as np
import pytest
import torch
from coco_data import decode
from pycocotools.coco import COCO
from random_masks import random_masks

from solo_bg import Instances
from solo_bg.coco.pseudo_labels import category_ids, number, predictions, pseudo_labels
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.runs.journal import Journal, Record
from solo_bg.runs.manifest import finish

NAMES = ('round', 'other')
A = (0, 0, 10, 10)


def box_mask(x0, y0, x1, y1):
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


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


def random_instances(seed=0, size=(20, 30)):
    masks = torch.from_numpy(random_masks(np.random.default_rng(seed), 12, *size))
    return Instances(masks, torch.arange(12) % 2, torch.linspace(1, 0.1, 12), NAMES)


@pytest.mark.parametrize('segmentation', ['rle', 'polygon'])
def test_masks_are_read_back_as_they_were(segmentation):
    instances = random_instances()
    entries = predictions(instances, segmentation)
    masks = [mask for mask in instances.masks.numpy() if mask.any()]
    assert 6 < len(masks) < 12
    for entry, mask in zip(entries, masks, strict=True):
        assert isinstance(entry['segmentation'], list if segmentation == 'polygon' else dict)
        np.testing.assert_array_equal(decode(entry['segmentation'], mask.shape), mask)
        assert entry['area'] == mask.sum()
    assert json.loads(json.dumps(entries)) == entries
    rest = [{key: value for key, value in entry.items() if key != 'segmentation'} for entry in entries]
    others = predictions(instances)
    assert rest == [{key: value for key, value in entry.items() if key != 'segmentation'} for entry in others]


def test_a_data_set_of_predictions_has_info_and_no_date():
    head = pseudo_labels(NAMES)
    assert head == pseudo_labels(NAMES) and list(head) == ['info', 'licenses', 'categories']
    assert 'solo_bg' in head['info']['contributor'] and head['licenses'] == []


def test_mmdet_ignores_rle_without_poly2mask_and_reads_polygons(tmp_path):
    with quiet_imports():
        from mmdet.datasets import CocoDataset
        from mmdet.registry import TRANSFORMS
        from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    instances = random_instances()
    wanted = [mask for mask in instances.masks.numpy() if mask.any()]

    prefix = {'data_prefix': {'img': str(tmp_path)}}

    def load(segmentation, poly2mask):
        image = {'file_name': 'a.png', 'height': 20, 'width': 30}
        coco = data_set([(image, predictions(instances, segmentation))], NAMES)
        (tmp_path / 'a.json').write_text(json.dumps(coco))
        with contextlib.redirect_stdout(io.StringIO()):
            dataset = CocoDataset(ann_file=str(tmp_path / 'a.json'), metainfo={'classes': NAMES}, pipeline=[], **prefix)
        loader = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': poly2mask}
        info = {**dataset.get_data_info(0), 'img_shape': (20, 30), 'ori_shape': (20, 30), 'height': 20, 'width': 30}
        return TRANSFORMS.build(loader)(info)

    for segmentation, poly2mask in (('rle', True), ('polygon', True), ('polygon', False)):
        loaded = load(segmentation, poly2mask)
        np.testing.assert_array_equal(loaded['gt_masks'].to_ndarray().astype(bool), wanted)
        assert not loaded['gt_ignore_flags'].any()
    assert load('rle', False)['gt_ignore_flags'].all()
