"""What the window-based models share, and what each of them does with data: predict, train, resume, be tested."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coco_data import make_dataset
from conftest import ROOT
from pycocotools import mask as rle
from small_families import SMALL, small_config, small_model

from solo_bg.mmdet_plugin import proposals
from solo_bg.mmdet_plugin.proposals import Level, compare, distant, fits, masks_of, occupied_part, paste
from solo_bg.models.detector import find_instances
from solo_bg.scenes import draw_scene


def test_windows_are_compared_with_objects_as_the_paper_says(rng):
    centres, sides = rng.uniform(0, 200, (30, 2)), rng.uniform(20, 400, 30)
    boxes = np.sort(rng.uniform(0, 200, (20, 2, 2)), 1).reshape(-1, 4)
    shift, octaves = compare(*map(torch.from_numpy, (centres, sides, boxes)))
    fitting, away = fits(shift, octaves), distant(shift, octaves)
    for row, ((x, y), side) in enumerate(zip(centres, sides, strict=True)):
        every = []
        for column, (x0, y0, x1, y1) in enumerate(boxes):
            moved = max(abs((x0 + x1) / 2 - x), abs((y0 + y1) / 2 - y)) / side * 224
            factor = max(x1 - x0, y1 - y0, 1) / side * 224 / 128
            assert fitting[row, column] == (moved <= 16 and 2**-0.25 <= factor <= 2**0.25)
            every.append(moved >= 32 or factor >= 2 or factor <= 0.5)
        assert away[row] == all(every)


def test_masks_are_pasted_as_torch_resizes_them():
    """Windows of whole pixels, each cell 8 of them, inside the image and beyond it; nothing is around a window."""
    torch.manual_seed(0)
    soft = torch.rand(4, 7, 7)
    windows = torch.tensor([[3.0, 5, 59, 61], [-20, -9, 36, 47], [60, 30, 116, 86], [200, 5, 256, 61]])
    boxes, crops = paste(soft, windows, (70, 90), 0.5)
    for one, (x, y), box, crop in zip(soft, windows[:, :2].int().tolist(), boxes.tolist(), crops, strict=True):
        large = F.interpolate(F.pad(one[None, None], (1, 1, 1, 1)), scale_factor=8, mode='bilinear')[0, 0]
        canvas = torch.zeros(400, 400)
        canvas[100 + y - 8 : 100 + y + 64, 100 + x - 8 : 100 + x + 64] = large
        canvas[:, : 100 + x], canvas[:, 100 + x + 56 :] = 0, 0
        canvas[: 100 + y], canvas[100 + y + 56 :] = 0, 0
        expected = canvas[100:170, 100:190] > 0.5
        found = torch.zeros(70, 90, dtype=torch.bool)
        x0, y0, x1, y1 = box
        found[y0:y1, x0:x1] = crop
        assert torch.equal(found, expected)
        rows, columns = expected.nonzero().T
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]
        assert box == tight
    assert boxes[3].tolist() == [0, 0, 0, 0] and boxes[0, 2] > 0


def test_the_box_of_a_mask_in_its_window():
    masks = torch.zeros(1, 10, 10, dtype=torch.bool)
    masks[0, 2:4, 5:9] = True
    assert occupied_part(masks, torch.tensor([[100.0, -50, 300, 50]])).tolist() == [[200, -30, 280, -10]]


def test_masks_of_windows_of_several_levels():
    def level(start, count):
        masks = (start + torch.arange(count)).float()[:, None, None]
        return Level(torch.zeros(count), torch.zeros(count, 4), lambda rows: masks[rows])

    rows = torch.tensor([4, 0, 7, 3, 2])
    assert masks_of([level(0, 3), level(3, 1), level(4, 4)], rows).flatten().tolist() == rows.tolist()


@pytest.fixture(scope='module', params=list(SMALL))
def model(request):
    return small_model(request.param)


def predict(model, *images):
    with torch.no_grad():
        return model.test_step(batch_of(images))


def batch_of(images):
    from mmdet.structures import DetDataSample

    samples = [DetDataSample(metainfo={'img_shape': one.shape[:2], 'ori_shape': one.shape[:2]}) for one in images]
    return {'inputs': [torch.from_numpy(one).permute(2, 0, 1) for one in images], 'data_samples': samples}


def test_what_is_predicted(model):
    image = draw_scene(1, 60, 80)[0]
    (sample,) = predict(model, image)
    found = sample.pred_instances
    assert len(found) > 5 and all(code['size'] == [60, 80] for code in found.masks)
    assert (found.labels == 0).all() and (found.scores.diff() <= 0).all()
    for code, box in zip(found.masks, found.bboxes.tolist(), strict=True):
        rows, columns = rle.decode(code).nonzero()
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_results_are_read_without_dense_masks(model):
    from mmdet.structures import DetDataSample

    from solo_bg.core.results import as_instances

    (sample,) = predict(model, draw_scene(1, 60, 80)[0])
    instances = as_instances(sample, (60, 80), ('object',))
    assert instances._dense is None and instances.boxes.tolist() == sample.pred_instances.bboxes.long().tolist()
    for mask, code in zip(instances.masks.numpy(), sample.pred_instances.masks, strict=True):
        np.testing.assert_array_equal(mask, rle.decode(code).astype(bool))
    larger = as_instances(DetDataSample(pred_instances=sample.pred_instances), (120, 160), ('object',))
    assert larger.size == (120, 160) and len(larger) == len(instances)


def test_images_of_mixed_sizes_do_not_change_each_other(model):
    images = [draw_scene(seed, *size)[0] for seed, size in enumerate([(60, 90), (90, 60), (20, 30), (2, 3)])]
    together = predict(model, *images)
    for image, sample in zip(images, together, strict=True):
        (alone,) = predict(model, image)
        assert sample.pred_instances.masks == alone.pred_instances.masks
        torch.testing.assert_close(sample.pred_instances.scores, alone.pred_instances.scores)
        assert sample.pred_instances.masks[0]['size'] == list(image.shape[:2])


def test_overlapping_masks_are_removed_by_their_boxes(monkeypatch):
    """InstanceFCN's rule, checked pair by pair; without it, such pairs stay."""
    pasted, largest = [], []
    monkeypatch.setattr(proposals, 'paste', lambda *given: pasted.append(given) or paste(*given))
    for iou_thr in (0.8, None):
        model = small_model('instancefcn_r18', **{'model.test_cfg.max_per_img': 60, 'model.test_cfg.iou_thr': iou_thr})
        predict(model, draw_scene(1, 60, 80)[0])
        masks, windows, *_ = pasted.pop()
        boxes = occupied_part(masks > 0.5, windows).tolist()
        largest.append(max(iou(one, other) for row, one in enumerate(boxes) for other in boxes[:row]))
    assert largest[0] <= 0.8 < largest[1]


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(width, 0) * max(height, 0)
    return overlap / (sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)) - overlap)


@pytest.mark.parametrize('name', list(SMALL))
def test_nan_is_an_error(name):
    from solo_bg.errors import NotFiniteError

    model = small_model(name)
    for parameter in model.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match='NaN or infinity'):
        predict(model, np.zeros((20, 30, 3), np.uint8))


@pytest.mark.parametrize('name', list(SMALL))
def test_a_high_threshold_gives_no_objects(name):
    model = small_model(name, **{'model.test_cfg.score_thr': 1.0})
    (sample,) = predict(model, np.zeros((20, 30, 3), np.uint8))
    assert len(sample.pred_instances) == 0 and sample.pred_instances.masks == []
    with torch.no_grad():
        (instances,) = find_instances(model, batch_of([np.zeros((20, 30, 3), np.uint8)]), ('object',))
    assert len(instances) == 0 and instances.size == (20, 30)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Four scenes: with objects and a crowd, without any, with one as large as the image, with a crowd alone."""
    root = tmp_path_factory.mktemp('data')
    coco = make_dataset(root)
    of = [[one for one in coco['annotations'] if one['image_id'] == 50 + index] for index in range(4)]
    of[0][-1]['iscrowd'] = 1
    large = {'bbox': [0, 0, 80, 60], 'segmentation': [[0, 0, 80, 0, 80, 60, 0, 60]], 'area': 4800, 'iscrowd': 0}
    coco['annotations'] = [*of[0], {**of[2][0], **large}, {**of[3][0], 'iscrowd': 1}]
    (root / 'instances.json').write_text(json.dumps(coco))
    return root


@pytest.mark.parametrize('name', list(SMALL))
def test_a_loss_for_each_kind_of_image(name, data):
    """Through the config's own data set and pipeline, all categories as one class."""
    from mmdet.registry import DATASETS
    from mmengine.dataset import pseudo_collate

    np.random.seed(0)
    config = small_config(name, data)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert len(dataset) == 4 and dataset.metainfo['classes'] == ('object',)
    assert {one['bbox_label'] for row in range(4) for one in dataset.get_data_info(row)['instances']} == {0}
    model = small_model(name).train()
    batches = [[row] for row in range(4)] + [[0, 1, 2, 3, 0, 2]]
    for rows in batches:
        batch = model.data_preprocessor(pseudo_collate([dataset[row] for row in rows]), training=True)
        losses = model(**batch, mode='loss')
        total = sum(losses.values())
        model.zero_grad()
        total.backward()
        assert torch.isfinite(total) and len(losses) == 2
        gradients = [parameter.grad for parameter in model.mask_head.parameters()]
        assert any(gradient is not None and gradient.any() for gradient in gradients)


def run(tool, *argv):
    command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('name', list(SMALL))
def test_it_trains_resumes_is_tested_and_eliminates(name, data, tmp_path):
    config = small_config(name, data)
    config.train_cfg.max_iters = 2
    config.default_hooks.checkpoint.interval = 1
    config.dump(tmp_path / 'config.py')
    work_dir = ['--work-dir', tmp_path / 'work']
    run('train.py', tmp_path / 'config.py', *work_dir)
    resumed = run('train.py', tmp_path / 'config.py', *work_dir, '--resume', '--cfg-options', 'train_cfg.max_iters=3')
    assert 'resumed' in resumed
    checkpoint = tmp_path / 'work/iter_3.pth'
    printed = run('test.py', tmp_path / 'config.py', checkpoint, '--proposals', '--work-dir', tmp_path / 'test')
    assert 'proposal/AR@100: 0.' in printed and 'proposal/AUC: 0.' in printed
    for given in (tmp_path / 'config.py', 'auto'):
        out = tmp_path / f'out-{given == "auto"}'
        argv = [given, checkpoint, data / 'images', '-o', out, '--score-thr', '0', '--device', 'cpu', '--quiet']
        run('eliminate_bg.py', *argv)
        lines = [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]
        assert len(lines) == 4 and all(set(line['classes']) == {'object'} for line in lines)
