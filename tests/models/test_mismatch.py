"""What does not fit says so, in one line and with exit code 2, and names what would."""

import cv2
import pytest
import torch
from conftest import CHECKPOINT, CONFIG
from mmengine.config import Config
from original_files import FILES, shapes

from solo_bg import Segmenter, SetupError
from solo_bg.cli import main as cli
from solo_bg.models import zoo
from solo_bg.models.checkpoint import Checkpoint, load_checkpoint
from solo_bg.models.convert import from_original
from solo_bg.models.mismatch import class_overrides, class_settings, compare, infer_classes
from solo_bg.models.suggest import empty_weights, fitting_config
from solo_bg.models.weights import explain
from solo_bg.scenes import draw_scene


@pytest.fixture(scope='module')
def weights():
    return load_checkpoint(CHECKPOINT).state_dict


def refused(tmp_path, capsys, checkpoint, *options, config=CONFIG):
    """The one line that the command prints when it exits with 2."""
    if not (tmp_path / 'scene.png').exists():
        cv2.imwrite(str(tmp_path / 'scene.png'), draw_scene(1, 32, 32)[0])
    argv = [config, checkpoint, tmp_path / 'scene.png', '-o', tmp_path / 'out', '--device', 'cpu', *options]
    assert cli.main(list(map(str, argv))) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    return error


def save(tmp_path, state_dict, **meta):
    torch.save({'state_dict': state_dict, 'meta': meta}, tmp_path / 'a.pth')
    return tmp_path / 'a.pth'


def test_missing_unknown_and_misshapen_weights(tmp_path, capsys, weights):
    changed = {name: value for name, value in weights.items() if not name.startswith('backbone.layer1.')}
    changed |= {'extra.weight': torch.ones(1), 'neck.fpn_convs.0.conv.bias': torch.ones(2)}
    error = refused(tmp_path, capsys, save(tmp_path, changed))
    assert '50 missing (backbone.layer1.0.conv1.weight, backbone.layer1.0.bn1.weight, ' in error
    assert '1 not in the model (extra.weight); 1 of another shape (neck.fpn_convs.0.conv.bias)' in error
    assert 'Give the config they were trained with' in error


@pytest.mark.parametrize(
    'name',
    [
        *('ema_backbone_conv1_weight', 'steps', 'backbone.conv9.num_batches_tracked'),
        *('data_preprocessor.mean', 'segm_head.segm_conv.weight', 'mask_head.segm_branch.segm_conv.weight'),
    ],
)
def test_what_prediction_never_uses_may_be_there(name, weights):
    assert not any(compare(weights, {**weights, name: torch.ones(1)}))
    assert not any(compare({**weights, name: torch.ones(1)}, weights))
    assert any(compare(weights, {**weights, 'mask_head.background.0.weight': torch.ones(1)}))


def test_another_number_of_classes(tmp_path, capsys, weights):
    option = '--cfg-options', 'model.mask_head.num_classes=80'
    error = refused(tmp_path, capsys, CHECKPOINT, *option)
    assert 'it has 13 classes, the config 80' in error
    assert 'add --cfg-options model.mask_head.num_classes=1' in error
    config = Config.fromfile(CONFIG)
    config.model.mask_head.num_classes = 7
    seven = {
        name: torch.rand(value.shape) if value.dtype.is_floating_point else torch.zeros_like(value, device='cpu')
        for name, value in empty_weights(config).items()
    }
    error = refused(tmp_path, capsys, save(tmp_path, seven))
    assert 'it has 7 classes, the config 1' in error and error.rstrip().endswith('model.mask_head.num_classes=7')
    advised = Segmenter(CONFIG, tmp_path / 'a.pth', 'cpu', {'model.mask_head.num_classes': 7})
    assert advised.model.mask_head.num_classes == 7


@pytest.mark.parametrize(
    ('name', 'head'),
    [
        ('mask-rcnn_r50_fpn_1x_coco', 'roi_head.mask_head'),
        ('cascade-mask-rcnn_r50_fpn_1x_coco', 'roi_head.bbox_head.2'),
        ('yolact_r50_1x8_coco', 'bbox_head'),
        ('condinst_r50_fpn_ms-poly-90k_coco_instance', 'bbox_head'),
    ],
)
def test_another_number_of_classes_in_other_families(name, head):
    """The override that is advised makes the model fit."""
    config, other = (Config.fromfile(zoo.find(name).config) for _ in range(2))
    other.merge_from_dict(dict.fromkeys(class_settings(other.model), 3))
    own, given = empty_weights(config), empty_weights(other)
    misfit = compare(own, given)
    overrides = class_overrides(config, own, given, misfit)
    assert overrides and overrides[f'model.{head}.num_classes'] == 3
    config.merge_from_dict(overrides)
    assert any(misfit) and not any(compare(empty_weights(config), given))


def test_what_differs_in_more_than_the_number_of_classes():
    own = {'fc_cls': torch.empty(81, 9), 'fc_reg': torch.empty(320, 9), 'mask': torch.empty(80, 2)}
    three = {'fc_cls': torch.empty(4, 9), 'fc_reg': torch.empty(12, 9), 'mask': torch.empty(3, 2)}
    assert infer_classes(own, three, list(own), 80) == 3 and infer_classes(three, own, list(own), 3) == 80
    assert infer_classes(own, {**three, 'mask': torch.empty(5, 2)}, list(own), 80) is None
    assert infer_classes(own, {**three, 'mask': torch.empty(3, 3)}, list(own), 80) is None


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_weights_that_are_not_finite(tmp_path, capsys, weights, value):
    checkpoint = save(tmp_path, {**weights, 'neck.fpn_convs.0.conv.bias': torch.full((96,), value)})
    error = refused(tmp_path, capsys, checkpoint)
    assert 'is broken: 1 of its weights hold NaN or infinity (neck.fpn_convs.0.conv.bias)' in error


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'it is empty'),
        (b'\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>', 'it is a web page'),
        (b'<HTML><body>moved</body></HTML>', 'it is a web page'),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', 'it is a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\n', 'git lfs pull'),
        (b'{"message": "not found"}', 'is no checkpoint, or is truncated'),
        (CHECKPOINT.read_bytes()[:90000], 'cannot be read as a checkpoint'),
    ],
)
def test_what_downloads_leave_behind(tmp_path, capsys, content, message):
    (tmp_path / 'a.pth').write_bytes(content)
    error = refused(tmp_path, capsys, tmp_path / 'a.pth')
    assert message in error and 'trust' not in error


def test_a_checkpoint_of_no_weights(tmp_path, capsys):
    assert 'holds no weights' in refused(tmp_path, capsys, save(tmp_path, {}))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = 1', 'has no `model`'),
        ("model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18))", 'no `test_dataloader`'),
        ("model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18))\n{}", 'builds no detector'),
        ("model = dict(type='ResNet', depth=18)\n{}", 'builds a ResNet, which is no detector'),
        ("_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'", 'FasterRCNN gives boxes but no masks'),
        ('raise OSError("mine")', 'cannot be read: OSError: mine'),
    ],
)
def test_configs_of_no_segmenter(tmp_path, capsys, text, message):
    loader = "test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=[dict(type='LoadImageFromFile')]))"
    (tmp_path / 'config.py').write_text(text.replace('{}', loader))
    assert message in refused(tmp_path, capsys, CHECKPOINT, config=tmp_path / 'config.py')


def test_another_config_that_fits_is_named(tmp_path, capsys):
    error = refused(tmp_path, capsys, CHECKPOINT, config='solo_r50_fpn_1x_coco')
    assert 'missing' in error and 'They fit configs/solo_bg_tiny.py' in error


@pytest.mark.parametrize('file', ['SOLO_R101_3x', 'Decoupled_SOLO_Light_DCN_R50_3x', 'SOLOv2_Light_448_R34_3x'])
def test_the_config_for_a_file_of_the_original_repository(file):
    *_, name, overrides = FILES[file]
    advice = fitting_config(empty(file))
    assert advice and advice.startswith(name.partition('_')[0])
    assert all(f'{key}={value}'.replace(' ', '') in advice for key, value in overrides.items())


def test_a_model_of_the_users_with_classes_of_its_own():
    assert fitting_config(empty('SOLO_R50_1x', classes=3)).endswith('--cfg-options model.mask_head.num_classes=3')


def empty(file, classes=80):
    return {name: torch.empty(shape, device='meta') for name, shape in from_original(shapes(file, classes)).items()}


def test_where_weights_come_from_is_said():
    own = {'a.weight': torch.empty(1)}
    for given, hint in (
        (Checkpoint({}, {}, renamed=True), 'tools/convert_checkpoint.py'),
        (Checkpoint({}, {'mmdet_version': '2.28.1'}), 'mmdet 2 wrote them'),
        (Checkpoint({}, {'mmdet_version': '3.0.0'}), 'Give the config they were trained with'),
    ):
        assert explain(compare(own, given.state_dict), own, given, None).find(hint) > 0


def test_nothing_of_solos_fits_no_solo():
    assert fitting_config({'roi_head.bbox_head.fc_cls.weight': torch.empty(81, 1024)}) is None


def test_python_gets_the_same():
    with pytest.raises(SetupError, match='it has 13 classes, the config 2'):
        Segmenter(CONFIG, CHECKPOINT, 'cpu', {'model.mask_head.num_classes': 2})


def test_the_command_says_what_was_confused(tmp_path, capsys):
    """One line each, and exit code 2."""
    assert 'seem to be swapped' in refused(tmp_path, capsys, CONFIG, config=CHECKPOINT)
    assert 'is a folder; expected a checkpoint file, such as ' in refused(tmp_path, capsys, CHECKPOINT.parent)
    assert 'carries no config' in refused(tmp_path, capsys, CHECKPOINT, config='auto')
    options = '--cfg-options', 'model.mask_hed.num_classes=3'
    assert 'did you mean model.mask_head.num_classes?' in refused(tmp_path, capsys, CHECKPOINT, *options)


def test_the_command_takes_the_config_in_a_checkpoint(tmp_path, weights):
    checkpoint = save(tmp_path, weights, cfg=Config.fromfile(CONFIG).pretty_text)
    cv2.imwrite(str(tmp_path / 'scene.png'), draw_scene(1, 32, 32)[0])
    argv = ['auto', checkpoint, tmp_path / 'scene.png', '-o', tmp_path / 'out', '--device', 'cpu', '--quiet']
    assert cli.main(list(map(str, argv))) == 0
