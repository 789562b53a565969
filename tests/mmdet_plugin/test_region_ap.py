import json

import numpy as np
import pytest
import torch
from coco_data import decode, make_dataset
from coco_data import encode as encode_by_pycocotools

from solo_bg.mmdet_plugin.region_ap import IGNORED, RIGHT, WRONG, RegionAP, average_precision

CLASSES = ('round', 'other')


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path)


def predictions(data, count, seed=0):
    """For each image `count` masks: annotated ones moved a little, of random classes, with random scores."""
    rng = np.random.default_rng(seed)
    for image in data['images']:
        true = [decode(one['segmentation'], (60, 80)) for one in data['annotations'] if one['image_id'] == image['id']]
        masks = np.zeros((count, 60, 80), bool)
        for mask in masks:
            mask[:] = np.roll(true[rng.integers(len(true))], rng.integers(-3, 4, 2), (0, 1))
        found = {
            'masks': torch.from_numpy(masks),
            'labels': torch.from_numpy(rng.integers(0, 2, count)),
            'scores': torch.from_numpy(rng.permutation(1000)[:count] / 1000 + image['id'] / 1e6),
        }
        yield {'img_id': image['id'], 'pred_instances': found}


def evaluate(tmp_path, given, classes=CLASSES, **options):
    metric = RegionAP(str(tmp_path / 'instances.json'), **options)
    metric.dataset_meta = {'classes': classes}
    given = list(given)
    for sample in given:
        metric.process({}, [sample])
    return metric.evaluate(len(given))


def brute_force(data, given, threshold, names=CLASSES):
    """VOC's average precision by its definition: one mask after the other, one object after the other."""
    precisions = []
    for label, name in enumerate(names):
        (category,) = (one['id'] for one in data['categories'] if one['name'] == name)
        objects = [one for one in data['annotations'] if one['category_id'] == category]
        total = sum(not one['iscrowd'] for one in objects)
        if not total:
            continue
        ranked = []
        for sample in given:
            found = sample['pred_instances']
            for mask, own, score in zip(found['masks'].numpy(), found['labels'], found['scores'], strict=True):
                if own == label:
                    ranked.append((float(score), sample['img_id'], mask))
        taken, hits, seen, curve = set(), 0, 0, []
        for _, image, mask in sorted(ranked, key=lambda one: -one[0]):
            best, which = -1.0, None
            for one in objects:
                if one['image_id'] == image:
                    other = decode(one['segmentation'], (60, 80))
                    whole = mask.sum() if one['iscrowd'] else (mask | other).sum()
                    if (mask & other).sum() / whole > best:
                        best, which = (mask & other).sum() / whole, one
            if best >= threshold and which['iscrowd']:
                continue
            seen += 1
            if best >= threshold and which['id'] not in taken:
                taken.add(which['id'])
                hits += 1
            curve.append((hits / total, hits / seen))
        area, before = 0.0, 0.0
        for row, (recall, _) in enumerate(curve):
            area += (recall - before) * max(precision for _, precision in curve[row:])
            before = recall
        precisions.append(area)
    return np.mean(precisions)


@pytest.mark.parametrize('count', [1, 6, 40])
def test_it_is_vocs_definition(data, tmp_path, count):
    given = list(predictions(data, count))
    found = evaluate(tmp_path, given)
    assert set(found) == {'region/mAPr@0.5', 'region/mAPr@0.7'}
    for threshold in (0.5, 0.7):
        assert found[f'region/mAPr@{threshold}'] == pytest.approx(brute_force(data, given, threshold), abs=1e-12)
    assert 0 < found['region/mAPr@0.7'] <= found['region/mAPr@0.5'] < 1


def test_there_are_crowds_in_the_data(data):
    assert any(one['iscrowd'] for one in data['annotations'])


def test_masks_as_rles_give_the_same(data, tmp_path):
    given = list(predictions(data, 6))
    expected = evaluate(tmp_path, given)
    for sample in given:
        found = sample['pred_instances']
        found['masks'] = [encode_by_pycocotools(mask.numpy()) for mask in found['masks']]
    assert evaluate(tmp_path, given) == expected


def test_the_annotations_themselves_score_1(data, tmp_path):
    labels = {category['id']: CLASSES.index(category['name']) for category in data['categories']}
    given = []
    for image in data['images']:
        own = [one for one in data['annotations'] if one['image_id'] == image['id'] and not one['iscrowd']]
        masks = np.stack([decode(one['segmentation'], (60, 80)) for one in own])
        found = {'masks': torch.from_numpy(masks), 'labels': torch.tensor([labels[one['category_id']] for one in own])}
        found['scores'] = torch.rand(len(own))
        given.append({'img_id': image['id'], 'pred_instances': found})
    assert evaluate(tmp_path, given) == {'region/mAPr@0.5': 1.0, 'region/mAPr@0.7': 1.0}
    assert evaluate(tmp_path, given, eleven_points=True)['region/mAPr@0.5'] == pytest.approx(1.0)


def test_labels_go_by_the_names_of_the_data_set(data, tmp_path):
    """A model may list its classes in another order than the file, and classes that the file does not have."""
    given = list(predictions(data, 6))
    expected = evaluate(tmp_path, given)
    for sample in given:
        sample['pred_instances']['labels'] = 2 - sample['pred_instances']['labels']
    assert evaluate(tmp_path, given, ('unknown', 'other', 'round')) == expected


def test_nothing_found_and_nothing_annotated(data, tmp_path):
    assert set(evaluate(tmp_path, predictions(data, 0)).values()) == {0.0}
    given = list(predictions(data, 3))
    (tmp_path / 'instances.json').write_text(json.dumps({**data, 'annotations': []}))
    assert set(evaluate(tmp_path, given).values()) == {0.0}


@pytest.mark.parametrize(
    ('outcomes', 'objects', 'area', 'eleven'),
    [
        ([RIGHT], 1, 1.0, 1.0),
        ([RIGHT, WRONG], 2, 0.5, 6 / 11),
        ([WRONG, RIGHT], 1, 0.5, 0.5),
        ([RIGHT, WRONG, RIGHT], 2, 0.5 + 0.5 * 2 / 3, (6 + 5 * 2 / 3) / 11),
        ([RIGHT, IGNORED, RIGHT], 2, 1.0, 1.0),
        ([IGNORED], 3, 0.0, 0.0),
        ([], 3, 0.0, 0.0),
    ],
)
def test_average_precision_of_known_curves(outcomes, objects, area, eleven):
    outcomes = np.array(outcomes, np.int8)
    assert average_precision(outcomes, objects) == pytest.approx(area)
    assert average_precision(outcomes, objects, eleven_points=True) == pytest.approx(eleven)


@pytest.mark.parametrize('thresholds', [(), (0,), (0.5, 1.2)])
def test_thresholds_that_make_no_sense(data, tmp_path, thresholds):
    with pytest.raises(ValueError, match='iou_thrs must be numbers above 0 and up to 1'):
        RegionAP(str(tmp_path / 'instances.json'), iou_thrs=thresholds)
