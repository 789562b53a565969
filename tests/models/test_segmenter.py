import json

import cv2
import numpy as np
import pytest
import torch
from agreement import assert_agree
from conftest import BUNDLED_CLASSES, CHECKPOINT, CONFIG, ROOT
from findable import save_weights
from mmengine.config import Config

from solo_bg import ImageError, Segmenter, SetupError
from solo_bg.cli import main as cli
from solo_bg.models import zoo
from solo_bg.models.class_names import count_classes, find_class_names
from solo_bg.models.detector import MODELS
from solo_bg.models.device import choose_device, choose_precision
from solo_bg.scenes import draw_scene

MMDET_CONFIGS = ('solo_r50_fpn_1x_coco', 'decoupled-solo_r50_fpn_1x_coco', 'decoupled-solo-light_r50_fpn_3x_coco')


def mmdet_config(name):
    import mmdet

    return f'{mmdet.__path__[0]}/.mim/configs/solo/{name}.py'


def test_what_it_returns(segmenter):
    image = draw_scene(5)[0]
    before = image.copy()
    (instances,) = segmenter([image])
    assert instances.size == image.shape[:2] and instances.class_names == segmenter.class_names == BUNDLED_CLASSES
    assert instances.masks.dtype == torch.bool and instances.device == segmenter.device
    assert (instances.scores.diff() <= 0).all()
    np.testing.assert_array_equal(image, before)


def test_an_image_without_instances(segmenter):
    (nothing,) = segmenter([np.zeros((40, 50, 3), np.uint8)])
    nothing = nothing.select(0.99)
    assert len(nothing) == 0 and nothing.masks.shape == (0, 40, 50) and nothing.labels.dtype == torch.int64


def test_neighbours_in_a_batch_change_nothing(segmenter):
    """Images of other shapes would stretch SOLO's grid; of one shape they differ by rounding only."""
    images = [draw_scene(1, 96, 128)[0], draw_scene(2, 128, 96)[0], draw_scene(3, 96, 128)[0], draw_scene(4, 64, 64)[0]]
    together = segmenter(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = segmenter([image])
        assert len(alone) == len(found) > 0
        torch.testing.assert_close(alone.scores, found.scores, rtol=0, atol=1e-4)
        assert (alone.masks != found.masks).float().mean() < 1e-4


def test_stock_mmdet_gives_the_same():
    from mmdet.apis import inference_detector, init_detector

    image = draw_scene(6)[0]
    stock = inference_detector(init_detector(str(CONFIG), str(CHECKPOINT), device='cpu'), image).pred_instances
    of_each_class = ['model.test_cfg.nms_across_classes=False']  # as mmdet's head does
    (ours,) = Segmenter(CONFIG, CHECKPOINT, device='cpu', cfg_options=of_each_class)([image])
    assert_agree(ours, stock)
    (same,) = Segmenter(CONFIG, CHECKPOINT, device='cpu', lazy=False)([image])
    assert_agree(same, stock, scores=0, pixels=0)


@pytest.mark.parametrize('name', MMDET_CONFIGS)
def test_mmdets_own_heads_give_the_same(name, tmp_path):
    compare_heads(name, tmp_path, (192, 256), {'test_dataloader.dataset.pipeline.1.scale': (256, 192)}, 50)


@pytest.mark.slow
@pytest.mark.parametrize('name', MMDET_CONFIGS)
def test_mmdets_own_heads_give_the_same_at_their_own_scale(name, tmp_path):
    """Where rounding takes a pixel over the threshold, the mean of a small mask moves by more than 1e-5."""
    compare_heads(name, tmp_path, (480, 640), {}, 300, scores=1e-4)


def compare_heads(name, tmp_path, size, cfg_options, cells, scores=1e-5):
    """Ours, rearranged by `optimise`, against stock mmdet's, on random weights whose masks are noise."""
    image = draw_scene(7, *size)[0]
    save_weights(mmdet_config(name), tmp_path / 'a.pth', image, cells)
    ours, stock = (
        Segmenter(mmdet_config(name), tmp_path / 'a.pth', 'cpu', cfg_options, lazy=lazy) for lazy in (True, False)
    )
    assert ours.lazy and not stock.lazy
    (found,), (theirs,) = ours([image]), stock([image])
    assert len(found) > 10
    assert_agree(found, theirs, scores)


def test_mmdets_own_configs(tmp_path):
    """One of them, at a small scale; all at their own as `slow`."""
    name = 'decoupled-solo-light_r50_fpn_3x_coco'
    check_config(name, tmp_path, ['--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=(256,192)'], (192, 256))


@pytest.mark.slow
@pytest.mark.parametrize('name', MMDET_CONFIGS)
def test_mmdets_own_configs_at_their_own_scale(name, tmp_path):
    check_config(name, tmp_path, [], (480, 640))


def check_config(name, tmp_path, options, size):
    """Through the command, to pictures."""
    from mmdet.datasets import CocoDataset

    image = draw_scene(7, *size)[0]
    save_weights(mmdet_config(name), tmp_path / 'a.pth', image)
    cv2.imwrite(str(tmp_path / 'scene.png'), image)
    argv = [mmdet_config(name), tmp_path / 'a.pth', tmp_path / 'scene.png', '-o', tmp_path / 'out', '--score-thr', '0']
    assert cli.main([*map(str, argv), '--device', 'cpu', '--styles', 'mask,overlay', '--quiet', *options]) == 0
    record = json.loads((tmp_path / 'out/manifest.jsonl').read_text())
    assert record['status'] == 'ok' and record['instances'] > 0
    assert set(record['classes']) <= set(CocoDataset.METAINFO['classes'])
    assert cv2.imread(str(tmp_path / 'out/mask/scene.png')).any()


@pytest.mark.parametrize(
    'image', [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(segmenter, image):
    with pytest.raises(ImageError, match='must be uint8'):
        segmenter([image])


def test_devices():
    assert choose_device('cpu') == torch.device('cpu')
    assert choose_device('auto').type == ('cuda' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(SetupError, match='sees'):
        choose_device(f'cuda:{torch.cuda.device_count()}')
    with pytest.raises(SetupError, match='no device is called'):
        choose_device('gpu')
    with pytest.raises(SetupError, match='runs on cpu and cuda'):
        choose_device('meta')


def test_a_config_of_the_callers_is_not_changed():
    given = Config.fromfile(CONFIG)
    before = given.to_dict()
    ours = Segmenter(given, CHECKPOINT, 'cpu', {'model.test_cfg.score_thr': 0.5})
    stock = Segmenter(given, CHECKPOINT, 'cpu', lazy=False)
    assert given.to_dict() == before and ours.lazy and not stock.lazy
    assert type(stock.model.mask_head).__name__ == 'ForegroundDecoupledSOLOLightHead'
    named = Segmenter(ours.config, CHECKPOINT, 'cpu', lazy=False)  # a config that names our head
    assert type(named.model.mask_head).__name__ == 'ForegroundDecoupledSOLOLightHead' and not named.lazy


def test_precisions():
    assert choose_precision('auto', torch.device('cpu')) == 'fp32'  # equal answers by default
    assert choose_precision('auto', torch.device('cuda')) == 'fp16'
    assert choose_precision('bf16', torch.device('cpu')) == 'bf16'
    with pytest.raises(SetupError, match='no precision is called'):
        choose_precision('int8', torch.device('cpu'))


def test_an_image_is_prepared_once_for_any_number_of_passes(segmenter):
    image = draw_scene(5)[0]
    prepared = segmenter.prepare(image)
    (first,), (second,), (directly,) = segmenter.segment([prepared]), segmenter.segment([prepared]), segmenter([image])
    for again in (second, directly):
        assert torch.equal(first.masks, again.masks) and torch.equal(first.scores, again.scores)


@pytest.mark.parametrize(
    ('failure', 'expected', 'message'),
    [
        (RuntimeError('not enough memory: you tried to allocate 9 bytes'), ImageError, 'memory ran out'),
        (NotImplementedError("mmcv's operator 'nms'"), SetupError, 'operator'),
        (RuntimeError('shapes differ'), RuntimeError, 'shapes differ'),
        (RuntimeError('CUDA error: an illegal memory access'), RuntimeError, 'illegal'),
        (torch.OutOfMemoryError('CUDA out of memory. Tried to allocate'), ImageError, 'memory ran out'),
    ],
)
def test_failures_of_the_model_are_named(segmenter, monkeypatch, failure, expected, message):
    def fail(batch):
        raise failure

    monkeypatch.setattr(segmenter.model, 'extract_feat', fail)
    with pytest.raises(expected, match=message):
        segmenter([draw_scene(1, 64, 64)[0]])


def test_what_it_returns_can_be_changed(segmenter):
    (instances,) = segmenter([draw_scene(5)[0]])
    instances.masks.logical_not_()  # tensors made under inference_mode would refuse


@pytest.mark.parametrize(
    ('meta', 'count', 'names'),
    [
        ({'dataset_meta': {'CLASSES': ['thing']}}, 1, ('thing',)),
        ({'CLASSES': ('old',)}, 1, ('old',)),
        ({'CLASSES': ('one', 'two')}, 13, BUNDLED_CLASSES),  # of another number: the config's own
        ({}, 13, BUNDLED_CLASSES),
    ],
)
def test_class_names_come_from_the_checkpoint_then_from_the_config(segmenter, meta, count, names):
    assert find_class_names(meta, segmenter.config, count) == names


def test_class_names_that_nobody_knows(segmenter):
    assert find_class_names({}, segmenter.config, 7) == ()


@pytest.mark.parametrize(
    ('meta', 'names'),
    [
        ({}, set('012')),
        ({'CLASSES': ('a', 'b', 'c')}, set('abc')),
        ({'dataset_meta': {'classes': list('xyz')}}, set('xyz')),
    ],
)
def test_class_names_reach_the_manifest(tmp_path, meta, names):
    """Of a model whose config names another number of classes."""
    options = {'model.mask_head.num_classes': 3, 'test_dataloader.dataset.pipeline.1.scale': (128, 96)}
    image, config = draw_scene(7, 96, 128)[0], Config.fromfile(CONFIG)
    config.merge_from_dict(options)
    save_weights(config, tmp_path / 'a.pth', image)
    torch.save({**torch.load(tmp_path / 'a.pth'), 'meta': meta}, tmp_path / 'a.pth')
    cv2.imwrite(str(tmp_path / 'scene.png'), image)
    argv = [CONFIG, tmp_path / 'a.pth', tmp_path / 'scene.png', '-o', tmp_path / 'out', '--score-thr', '0', '--quiet']
    argv += ['--device', 'cpu', '--cfg-options', 'model.mask_head.num_classes=3']
    assert cli.main(list(map(str, argv))) == 0
    found = set(json.loads((tmp_path / 'out/manifest.jsonl').read_text())['classes'])
    written = json.loads((tmp_path / 'out/annotations.json').read_text())
    assert found and found <= {category['name'] for category in written['categories']} <= names


@pytest.mark.parametrize(
    ('name', 'count'), [('mask-rcnn_r50_fpn_1x_coco', 80), ('cascade-mask-rcnn_r50_fpn_1x_coco', 80)]
)
def test_the_classes_of_a_head_with_boxes_are_counted(name, count):
    config = Config.fromfile(zoo.find(name).config)
    with torch.device('meta'):
        assert count_classes(MODELS.build(config.model)) == count


def test_names_in_a_wrapped_data_set_and_a_single_one(segmenter):
    config = Config(segmenter.config.to_dict())
    dataset = config.test_dataloader.dataset
    dataset.metainfo = {'classes': 'thing'}  # ('thing') where ('thing',) was meant
    config.test_dataloader.dataset = {'type': 'RepeatDataset', 'times': 1, 'dataset': dataset}
    assert find_class_names({'dataset_meta': None}, config, 1) == ('thing',)


def test_cfg_options_reach_the_model():
    segment = Segmenter(CONFIG, CHECKPOINT, device='cpu', cfg_options={'model.test_cfg.score_thr': 0.9999})
    assert len(segment([draw_scene(5)[0]])[0]) == 0


def test_the_bundled_configs_name_mmdets_by_package():
    assert "_base_ = 'mmdet::" in (ROOT / 'configs/solo_bg_tiny.py').read_text()


HALF = {'scores': 1e-2, 'pixels': 1e-3}  # three times the largest difference of bf16 on the CPU, ten times that of fp16


def assert_close(found, wanted, scores, pixels):
    """Of the instances that the command keeps: as many, with about these scores, and together about these pixels."""
    found, wanted = found.select(0.3), wanted.select(0.3)
    assert len(found) == len(wanted) > 0
    torch.testing.assert_close(found.scores.cpu(), wanted.scores, rtol=0, atol=scores)
    assert (found.union.cpu() != wanted.union).float().mean() < pixels


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_half_precision_finds_about_the_same(segmenter, precision):
    half = Segmenter(CONFIG, CHECKPOINT, device='cpu', precision=precision)
    image = draw_scene(6)[0]
    (found,), (wanted,) = half([image]), segmenter([image])
    assert_close(found, wanted, **HALF)


@pytest.mark.gpu
@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
def test_cuda_finds_the_same(segmenter, precision):
    """In half precision at the bounds that the CPU keeps too."""
    there = Segmenter(CONFIG, CHECKPOINT, device='cuda', precision=precision)
    image = draw_scene(6)[0]
    (found,), (wanted,) = there([image]), segmenter([image])
    assert found.device.type == 'cuda'
    if precision == 'fp32':
        assert len(found) == len(wanted)
        torch.testing.assert_close(found.scores.cpu(), wanted.scores, rtol=1e-3, atol=1e-3)
    assert_close(found, wanted, **({'scores': 1e-3, 'pixels': 1e-4} if precision == 'fp32' else HALF))


def test_where_memory_runs_out_smaller_steps_are_tried_for_an_image_alone(segmenter, monkeypatch):
    from solo_bg.solo import decode

    image, sizes, real = draw_scene(1, 64, 96)[0], [], segmenter.find_lazily

    def find(batch):
        sizes.append((len(batch['inputs']), decode.share.get()))
        if sizes[-1] != (1, 16):
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        return real(batch)

    (expected,) = segmenter([image])
    monkeypatch.setattr(segmenter, 'find_lazily', find)
    (found,) = segmenter([image])
    assert sizes == [(1, 1), (1, 16)] and decode.share.get() == 1
    assert torch.equal(found.masks, expected.masks)
    with pytest.raises(ImageError, match='memory ran out'):
        segmenter([image, image])
    assert sizes[2:] == [(2, 1)]
