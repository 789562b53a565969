"""Pickles and pictures of test results are the same for masks as RLEs as for dense masks."""

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from coco_data import encode
from mmdet.structures import DetDataSample
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData
from pycocotools import mask as rle

from solo_bg.mmdet_plugin.rle_results import DumpInstances, ShowInstances
from solo_bg.scenes import draw_scene


@pytest.fixture(scope='module')
def scene():
    image, masks = draw_scene(3, 60, 80)
    assert len(masks) > 1
    return image, masks


def sample_of(masks, path='', as_codes=True):
    """Results whose first mask has too small a score to be drawn."""
    count = len(masks)
    boxes = torch.tensor([[5.0, 5.0, 30.0, 30.0]]).expand(count, 4)
    found = InstanceData(bboxes=boxes, labels=torch.zeros(count, dtype=torch.int64))
    found.scores = torch.linspace(0.1, 0.9, count)
    found.masks = [encode(mask) for mask in masks] if as_codes else torch.from_numpy(masks)
    meta = {'img_path': str(path), 'img_id': 1, 'ori_shape': masks.shape[1:], 'img_shape': masks.shape[1:]}
    return DetDataSample(pred_instances=found, metainfo=meta)


def test_the_pickle_is_that_of_dense_masks(scene, tmp_path):
    _, masks = scene
    dumps = []
    for as_codes in (True, False):
        metric = DumpInstances(out_file_path=str(tmp_path / f'{as_codes}.pkl'))
        given = sample_of(masks, as_codes=as_codes).to_dict()
        before = copy.deepcopy(given)
        metric.process(None, [given])
        metric.evaluate(1)
        if as_codes:
            assert given['pred_instances']['masks'] == before['pred_instances']['masks']  # other metrics read them
        dumps.append(pickle.loads((tmp_path / f'{as_codes}.pkl').read_bytes()))
    (ours,), (theirs,) = dumps
    assert np.array_equal(rle.decode(ours['pred_instances']['masks']).transpose(2, 0, 1), masks)
    assert ours['pred_instances']['masks'] == theirs['pred_instances']['masks']
    assert torch.equal(ours['pred_instances']['scores'], theirs['pred_instances']['scores'])


def test_no_masks_in_a_pickle(tmp_path):
    metric = DumpInstances(out_file_path=str(tmp_path / 'found.pkl'))
    metric.process(None, [sample_of(np.zeros((0, 60, 80), bool)).to_dict()])
    metric.evaluate(1)
    ((found),) = pickle.loads((tmp_path / 'found.pkl').read_bytes())
    assert found['pred_instances']['masks'] == []


class Runner:
    timestamp = 'now'
    iter = 0

    def __init__(self, work_dir):
        self.work_dir = str(work_dir)


@pytest.mark.parametrize('count', [0, None])
def test_the_picture_is_that_of_dense_masks(scene, tmp_path, count):
    image, masks = scene
    cv2.imwrite(str(tmp_path / 'scene.png'), image)
    visualizer = VISUALIZERS.build({'type': 'mmdet.DetLocalVisualizer', 'name': f'test_rle_results_{count}'})
    visualizer.dataset_meta = {'classes': ('object',), 'palette': [(220, 20, 60)]}
    pictures = []
    for as_codes in (True, False):
        hook = ShowInstances(draw=True, test_out_dir=str(tmp_path / f'{as_codes}'))
        hook._visualizer = visualizer
        sample = sample_of(masks[:count], tmp_path / 'scene.png', as_codes)
        np.random.seed(0)  # mmdet changes its colours a little at random
        hook.after_test_iter(Runner(tmp_path), 0, None, [sample])
        assert isinstance(sample.pred_instances.masks, list) == as_codes  # metrics that follow read them
        pictures.append(cv2.imread(str(tmp_path / f'{as_codes}/scene.png')))
    assert np.array_equal(*pictures)
    assert np.array_equal(pictures[0][:, -80:], image) == (count == 0)  # left of it are the annotations
