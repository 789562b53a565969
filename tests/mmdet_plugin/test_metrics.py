import contextlib
import io
import json

import numpy as np
import pytest
import torch
from coco_data import encode, make_dataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solo_bg.coco.dataset import Annotations
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.registry import METRICS

    import solo_bg.mmdet_plugin.metrics  # noqa: F401


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path)


def samples(data, count, seed=0):
    """For each image `count` proposals: annotated masks moved a little, and noise, with random scores."""
    rng = np.random.default_rng(seed)
    annotations = Annotations(data)
    for image in data['images']:
        true = annotations.read(image, (60, 80)).instances.masks.numpy()
        masks = np.zeros((count, 60, 80), bool)
        for mask in masks:
            moved = np.roll(true[rng.integers(len(true))], rng.integers(-2, 3, 2), (0, 1))
            mask[:] = moved ^ (rng.random((60, 80)) < 0.002)
        scores = torch.from_numpy(rng.permutation(count) / max(count, 1)).float()
        yield {'img_id': image['id'], 'pred_instances': {'masks': torch.from_numpy(masks), 'scores': scores}}


def evaluate(kind, data, tmp_path, given, **options):
    metric = METRICS.build({'type': kind, 'ann_file': str(tmp_path / 'instances.json'), **options})
    given = list(given)
    for sample in given:
        metric.process({}, [sample])
    return metric.evaluate(len(given))


def cocos_own(data, tmp_path, given):
    """AR@10, 100 and 1000 by size as COCOeval accumulates them: [size, number]."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / 'instances.json'))
        proposals = [
            {'image_id': one['img_id'], 'category_id': 3, 'segmentation': encode(mask.numpy()), 'score': float(score)}
            for one in given
            for mask, score in zip(one['pred_instances']['masks'], one['pred_instances']['scores'], strict=True)
        ]
        evaluation = COCOeval(coco, coco.loadRes(proposals), 'segm')
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [1, 10, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval['recall'][:, 0]  # (IoU thresholds, sizes, numbers)
    return np.where(recall > -1, recall, 0).mean(0)


@pytest.mark.parametrize('count', [1, 7, 150])
def test_average_recall_is_cocos(data, tmp_path, count):
    given = list(samples(data, count))
    found, expected = evaluate('MaskProposalRecall', data, tmp_path, given), cocos_own(data, tmp_path, given)
    for row, area in enumerate(('', 'S', 'M', 'L')):
        for column, number in enumerate((10, 100, 1000), 1):
            assert found[f'proposal/AR{area}@{number}'] == pytest.approx(expected[row, column], abs=1e-9)
    assert found['proposal/AR@1000'] > 0.1
    assert found['proposal/AR@10'] * 0.9 <= found['proposal/AUC'] <= found['proposal/AR@1000']


def test_auc_is_the_mean_over_numbers(data, tmp_path):
    """With 3 proposals an image: once AR@1, once AR@2, 998 times AR@3."""
    given = list(samples(data, 3))
    first = evaluate('MaskProposalRecall', data, tmp_path, [best(one, 1) for one in given])['proposal/AR@10']
    second = evaluate('MaskProposalRecall', data, tmp_path, [best(one, 2) for one in given])['proposal/AR@10']
    found = evaluate('MaskProposalRecall', data, tmp_path, given)
    expected = (first + second + 998 * found['proposal/AR@10']) / 1000
    assert 0 < first < found['proposal/AR@10'] and found['proposal/AUC'] == pytest.approx(expected)


def best(sample, count):
    rows = sample['pred_instances']['scores'].argsort(descending=True)[:count]
    return {**sample, 'pred_instances': {key: value[rows] for key, value in sample['pred_instances'].items()}}


def test_no_proposals_give_0(data, tmp_path):
    assert set(evaluate('MaskProposalRecall', data, tmp_path, samples(data, 0)).values()) == {0.0}


def test_an_image_without_proposals_counts(data, tmp_path):
    given = list(samples(data, 20))
    every = evaluate('MaskProposalRecall', data, tmp_path, given)['proposal/AR@100']
    one_without = evaluate('MaskProposalRecall', data, tmp_path, [best(given[0], 0), *given[1:]])['proposal/AR@100']
    assert one_without < every


def test_perfect_proposals_of_a_data_set_that_says_little(data, tmp_path):
    """No `iscrowd`, no `area`, ids from 0, boxes alone: all that COCOeval itself would trip over."""
    kept = ('image_id', 'category_id', 'segmentation', 'bbox')
    few = [{'id': number, **{key: one[key] for key in kept}} for number, one in enumerate(data['annotations'])]
    del few[0]['segmentation']
    given = {**data, 'annotations': few}
    (tmp_path / 'instances.json').write_text(json.dumps(given))
    found = []
    for image in data['images']:
        masks = Annotations(given).read(image, (60, 80)).instances.masks
        found.append({'img_id': image['id'], 'pred_instances': {'masks': masks, 'scores': torch.ones(len(masks))}})
    assert evaluate('MaskProposalRecall', data, tmp_path, found)['proposal/AR@10'] == 1


def test_foreground_iou(data, tmp_path):
    given = list(samples(data, 6))
    annotations = Annotations(data)
    expected = []
    for sample, image in zip(given, data['images'], strict=True):
        keep = sample['pred_instances']['scores'] > 0.4
        found = sample['pred_instances']['masks'][keep].numpy().any(0)
        wanted = annotations.read(image, (60, 80)).instances.masks.numpy().any(0)
        expected.append((found & wanted).sum() / (found | wanted).sum())
    result = evaluate('ForegroundIoU', data, tmp_path, given, score_thr=0.4)
    assert result == {'foreground/iou': pytest.approx(np.mean(expected))}


def test_foreground_iou_of_nothing(data, tmp_path):
    assert evaluate('ForegroundIoU', data, tmp_path, samples(data, 0)) == {'foreground/iou': 0.0}
    (tmp_path / 'instances.json').write_text(json.dumps({**data, 'annotations': []}))
    assert evaluate('ForegroundIoU', data, tmp_path, samples(data, 0)) == {'foreground/iou': 1.0}


def test_an_annotation_that_cannot_be_used_is_skipped(data, tmp_path, caplog):
    given = list(samples(data, 5))
    without = {**data, 'annotations': data['annotations'][1:]}
    bad = {**data['annotations'][0], 'segmentation': [[1, 1, 5, 1]]}
    for kind in ('MaskProposalRecall', 'ForegroundIoU'):
        (tmp_path / 'instances.json').write_text(json.dumps(without))
        expected = evaluate(kind, data, tmp_path, given)
        caplog.clear()
        (tmp_path / 'instances.json').write_text(json.dumps({**data, 'annotations': [bad, *without['annotations']]}))
        assert evaluate(kind, data, tmp_path, given) == expected
        assert 'annotation 1000 has a polygon of 4 numbers' in caplog.text


def test_foreground_of_chosen_classes(data, tmp_path):
    annotations = Annotations(data)
    given, expected = [], []
    for image in data['images']:
        instances = annotations.read(image, (60, 80)).instances
        given.append({'img_id': image['id'], 'pred_instances': {'masks': instances.masks, 'scores': instances.scores}})
        wanted = instances.masks[instances.labels == 1].any(0) if (instances.labels == 1).any() else torch.zeros(60, 80)
        expected.append(float(wanted.sum() / instances.union.sum()))
    found = evaluate('ForegroundIoU', data, tmp_path, given, classes=['other'])
    assert found['foreground/iou'] == pytest.approx(np.mean(expected)) and 0 < np.mean(expected) < 1
    with pytest.raises(ValueError, match="no class 'dog'; its classes are round, other"):
        evaluate('ForegroundIoU', data, tmp_path, [], classes=['round', 'dog'])
