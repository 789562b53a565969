"""The config inside a checkpoint: used as data, and nothing in it is run."""

import pytest
import torch
from conftest import CHECKPOINT, CONFIG
from mmengine.config import Config

from solo_bg import Segmenter, SetupError
from solo_bg.models import zoo
from solo_bg.models.own_config import config_in, read_assignments
from solo_bg.scenes import draw_scene


def carrying(path, text):
    """The bundled weights with a config in `meta`, as mmengine's training writes it."""
    saved = torch.load(CHECKPOINT, weights_only=True)
    saved['meta'] = {**saved['meta'], 'cfg': text}
    torch.save(saved, path)
    return path


def test_auto_takes_the_config_in_the_checkpoint(tmp_path, segmenter):
    path = carrying(tmp_path / 'a.pth', Config.fromfile(CONFIG).pretty_text)
    found = Segmenter('auto', path, 'cpu')
    image = draw_scene(5)[0]
    (one,), (other,) = found([image]), segmenter([image])
    assert found.lazy and torch.equal(one.masks, other.masks) and torch.equal(one.scores, other.scores)
    assert found.class_names == segmenter.class_names
    limited = Segmenter('auto', path, 'cpu', ['model.test_cfg.score_thr=0.9999'])
    assert len(limited([image])[0]) == 0


@pytest.mark.parametrize(
    'name',
    [
        *('solo_r50_fpn_1x_coco', 'mask-rcnn_r50_fpn_1x_coco', 'solov2_r101-dcn_fpn_ms-3x_coco'),
        *('mask2former_r50_8xb2-lsj-50e_coco', 'rtmdet-ins_l_8xb32-300e_coco', 'queryinst_r50_fpn_1x_coco'),
        *('point-rend_r50-caffe_fpn_ms-1x_coco', 'mask-rcnn_r50_fpn_carafe_1x_coco', 'htc_r50_fpn_1x_coco'),
        *('mask-rcnn_swin-t-p4-w7_fpn_1x_coco', 'detectors_htc-r50_1x_coco', 'mask-rcnn_r50_fpn_groie_1x_coco'),
    ],
)
def test_configs_of_mmdets_are_read_as_mmengine_reads_them(name):
    """The same values, apart from what a training starts from."""
    whole = Config.fromfile(zoo.find(name).config)
    found = config_in({'cfg': whole.pretty_text}, 'a.pth')
    assert found.model.to_dict() == without_starts(whole.model.to_dict())
    assert found.test_dataloader.dataset.pipeline == whole.test_dataloader.dataset.pipeline


def without_starts(node):
    if isinstance(node, dict):
        return {key: without_starts(value) for key, value in node.items() if key not in ('init_cfg', 'pretrained')}
    return type(node)(map(without_starts, node)) if isinstance(node, (list, tuple)) else node


CALLS = [
    "import os\nos.mkdir('{owned}')",
    "model = __import__('os').mkdir('{owned}')",
    "model = dict(type='SOLO', x=[__import__('os').mkdir('{owned}')])",
    "model = dict(**__import__('os').mkdir('{owned}'))",
    "_base_ = '{owned}.py'\nmodel, x = 1, 2",
    'model = f\'{{__import__("os").mkdir("{owned}")}}\'',
    "model = [1 for _ in [__import__('os').mkdir('{owned}')]]",
    "exec('import os')",
    'model = (lambda: 1)()',
    'model = dict([(1, 2)])',
    'model = {{**{{}}}}',
    'model: dict = {{}}',
    'model = other',
    'model = (',
    'model = ' + '-' * 5000 + '1',
    'model = ' + '[' * 5000 + ']' * 5000,
    'model = dict(a=1, **b)',
]


@pytest.mark.parametrize('text', CALLS)
def test_text_that_is_no_data_is_refused(tmp_path, text):
    owned = tmp_path / 'owned'
    with pytest.raises(SetupError, match=r'config in a\.pth cannot be read without running code') as refused:
        config_in({'cfg': text.format(owned=owned)}, 'a.pth')
    assert not owned.exists() and len(str(refused.value).splitlines()) == 1


TYPES = [
    "model = dict(type='os.mkdir', path='{owned}')",
    "model = dict(type='SOLO', backbone=dict(type='os.mkdir', path='{owned}'))",
    "model = dict(type='SOLO', backbone=dict(type='mmengine.mkdir_or_exist', dir_name='{owned}'))",
    'model = dict(type=\'MaskRCNN\', test_cfg=dict(nms=dict(type=\'__import__("os").mkdir("{owned}")\')))',
    "model = dict(type='KnowledgeDistillationSingleStageDetector', teacher_config='{owned}')",
    "model = dict(type='LAD', teacher_ckpt='http://127.0.0.1:9/a.pth')",
    "model = dict(type='SOLO', language_model=dict(type='BertModel', name='x'))",
    "model = dict(type='CameraMotionCompensation', warp_mode='{owned}')",
    'model = dict(type=3)\ntest_dataloader = dict()',
    "model = dict(type='SOLO', _scope_='os')",
    "model = dict(type='SOLO')\ntest_dataloader = dict(dataset=dict(type='os.mkdir'))",
    "model = dict(type='SOLO')\ntest_dataloader = dict(dataset=dict(pipeline=[dict(type='RandomSamplingNegPos')]))",
    "model = dict(type='Runner')",
    "model = dict(type='NoSuchThing')",
]


@pytest.mark.parametrize('text', TYPES)
def test_types_that_are_no_part_of_a_segmenter_are_refused(tmp_path, text):
    """mmengine imports and calls whatever a type names, and mmcv evaluates the type of an nms."""
    owned = tmp_path / 'owned'
    path = carrying(tmp_path / 'a.pth', text.format(owned=owned))
    with pytest.raises(SetupError, match='cannot be read without running code'):
        Segmenter('auto', path, 'cpu')
    assert not owned.exists()


def test_types_with_their_modules_are_known_by_their_last_names():
    """As configs of mmengine's new style dump them; the module itself is never imported."""
    text = "model = dict(type='mmdet.models.detectors.SOLO', mask_head=dict(type='no_such.module.SOLOHead'))"
    assert config_in({'cfg': text}, 'a.pth').model.to_dict() == {'type': 'SOLO', 'mask_head': {'type': 'SOLOHead'}}


def test_what_a_training_starts_from_is_left_out():
    text = "model = dict(type='SOLO', backbone=dict(type='ResNet', pretrained='x', init_cfg=dict(type='os.mkdir')))"
    assert config_in({'cfg': text}, 'a.pth').model.to_dict() == {'type': 'SOLO', 'backbone': {'type': 'ResNet'}}


def test_values():
    text = "a = -1.5\nb = (1, [2, None], {'x': True})\nc = dict(d='e' 'f', g=dict())\n"
    assert read_assignments(text) == {'a': -1.5, 'b': (1, [2, None], {'x': True}), 'c': {'d': 'ef', 'g': {}}}


@pytest.mark.parametrize('meta', [{}, {'cfg': None}, {'cfg': 3}])
def test_a_checkpoint_without_a_config(meta):
    with pytest.raises(SetupError, match=r'a\.pth carries no config; give the config file'):
        config_in(meta, 'a.pth')


def test_it_is_offered_where_the_config_is_missing_or_does_not_fit(tmp_path):
    path = carrying(tmp_path / 'a.pth', Config.fromfile(CONFIG).pretty_text)
    for config in ('no_such.py', 'no-such-model'):
        with pytest.raises(SetupError, match=r'no config at no.such.*a\.pth carries the config .*give auto as CONFIG'):
            Segmenter(config, path, 'cpu')
    with pytest.raises(SetupError, match=r'does not fit.*carries the config .*give auto as CONFIG'):
        Segmenter(zoo.find('mask-rcnn_r50_fpn_1x_coco').config, path, 'cpu')
    with pytest.raises(SetupError) as plain:
        Segmenter('no_such.py', CHECKPOINT, 'cpu')
    assert 'auto' not in str(plain.value)
