"""Configs and their overrides: what is read, and what a user is told."""

import json

import pytest
import torch
from conftest import BUNDLED_CLASSES, CHECKPOINT, CONFIG
from mmengine.config import Config

from solo_bg import ImageError, Segmenter, SetupError
from solo_bg.models.class_names import find_class_names
from solo_bg.models.config import array_pipeline, canonical, load_config
from solo_bg.models.suggest import DEFORMABLE, RESNET_101
from solo_bg.scenes import draw_scene


@pytest.mark.parametrize(
    ('given', 'meant'),
    [
        ('model.test_cfg.scor_thr=0.1', 'model.test_cfg.score_thr'),
        ('modl.test_cfg.score_thr=0.1', 'model.test_cfg.score_thr'),
        ('model.mask_hed.num_classes=3', 'model.mask_head.num_classes'),
        ('model.mask_head.num_clases=3', 'model.mask_head.num_classes'),
        ('test_dataloader.dataset.pipeline.1.scales=(96,64)', 'test_dataloader.dataset.pipeline.1.scale'),
    ],
)
def test_a_mistyped_key_is_named_with_the_nearest(given, meant):
    with pytest.raises(SetupError, match=f'has no key {given.partition("=")[0]}; did you mean {meant}\\?'):
        load_config(CONFIG, [given])


@pytest.mark.parametrize('given', [RESNET_101, DEFORMABLE, {'model.test_cfg.instance_on': True, 'load_from': 'a.pth'}])
def test_options_that_a_config_leaves_out_can_be_added(given):
    config = load_config(CONFIG, given)
    for key, value in given.items():
        node = config
        for part in key.split('.'):
            node = node[int(part)] if part.isdigit() else node[part]
        assert node == value


@pytest.mark.parametrize(
    'given', [['model.test_cfg.score_thr=0.9'], 'model.test_cfg.score_thr=0.9', {'model.test_cfg.score_thr': 0.9}]
)
def test_overrides_from_python(given):
    assert load_config(CONFIG, given).model.test_cfg.score_thr == 0.9
    assert load_config(Config.fromfile(CONFIG), given).model.test_cfg.score_thr == 0.9


def test_a_segmenter_takes_overrides_as_texts():
    segmenter = Segmenter(CONFIG, CHECKPOINT, 'cpu', cfg_options=['model.test_cfg.score_thr=0.9'])
    assert segmenter.config.model.test_cfg.score_thr == 0.9


@pytest.mark.parametrize(
    'given',
    [
        ['model.test_cfg'],
        ['--model.x=1'],
        ['=3'],
        'score',
        {'model.backbone.depth.x': 1},
        {'test_dataloader.dataset.pipeline.9.scale': 1},
        {'test_dataloader.dataset.pipeline.x.scale': 1},
    ],
)
def test_overrides_that_cannot_be_used(given):
    with pytest.raises(SetupError, match=r'cannot be read|takes no such overrides|has no') as refused:
        load_config(CONFIG, given)
    assert len(str(refused.value).splitlines()) == 1


def without(config, *keys):
    """A copy of the config without the key at the end of this path."""
    config = Config(config.to_dict())
    node = config
    for key in keys[:-1]:
        node = node[key]
    node.pop(keys[-1])
    return config


def test_a_data_set_without_a_type(segmenter):
    config = without(segmenter.config, 'test_dataloader', 'dataset', 'type')
    assert find_class_names({}, config, 13) == BUNDLED_CLASSES
    again = Segmenter(config, CHECKPOINT, 'cpu')
    assert again.class_names == segmenter.class_names


@pytest.mark.parametrize('kind', ['NoSuchData', 3, dict, None])
def test_data_sets_of_other_types(segmenter, kind):
    config = without(segmenter.config, 'test_dataloader', 'dataset', 'metainfo')
    config.test_dataloader.dataset['type'] = kind
    assert find_class_names({}, config, 1) == ()


@pytest.mark.parametrize('keys', [('dataset',), ('dataset', 'pipeline')])
def test_no_test_pipeline(segmenter, keys):
    with pytest.raises(SetupError, match='names no test pipeline'):
        array_pipeline(without(segmenter.config, 'test_dataloader', *keys))


@pytest.mark.parametrize('value', [None, [], 'x', 3])
@pytest.mark.parametrize('key', ['model', 'test_dataloader'])
def test_keys_that_hold_something_else(segmenter, key, value):
    config = Config(segmenter.config.to_dict())
    config[key] = value
    with pytest.raises(SetupError, match=f'has no `{key}`'):
        load_config(config, None)


@pytest.mark.parametrize(
    ('meta', 'found'),
    [
        ({'dataset_meta': {0: 'a', 'classes': ['thing'], ('x',): 1}}, ('thing',)),
        ({'dataset_meta': {0: 'a'}}, BUNDLED_CLASSES),
        ({'dataset_meta': {'classes': [7]}}, ('7',)),
        ({'dataset_meta': ['thing']}, 'dataset_meta is a list'),
        ({'dataset_meta': 'thing'}, 'dataset_meta is a str'),
        ({'dataset_meta': {'classes': 3}}, 'cannot be read: expected a list of texts, got 3'),
        ({'dataset_meta': {'CLASSES': {'a': 1}}}, 'cannot be read'),
        ({'dataset_meta': {'classes': [['a']]}}, 'cannot be read'),
        ({'CLASSES': torch.ones(2)}, 'class names in CLASSES cannot be read'),
    ],
)
def test_odd_class_names_are_read_or_one_line(segmenter, meta, found):
    if isinstance(found, tuple):
        assert find_class_names(meta, segmenter.config, len(found)) == found
        return
    with pytest.raises(SetupError, match=found) as refused:
        find_class_names(meta, segmenter.config, 1)
    assert len(str(refused.value).splitlines()) == 1


def test_the_key_depends_on_values_and_not_on_how_they_are_written(segmenter, monkeypatch):
    from mmdet.models.detectors import SOLO

    before = segmenter.describe()
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: pytest.fail('the key depends on a formatter')))
    assert segmenter.describe() == before
    given = {'a': {'y': 1, 'x': (1, 2.5)}, 'type': SOLO, 'set': {'b', 'a'}, 'number': torch.ones(2)}
    same = {'number': [1.0, 1.0], 'set': {'a', 'b'}, 'type': SOLO, 'a': {'x': [1, 2.5], 'y': 1}}
    assert canonical(given) == canonical(same) and json.loads(canonical(given))['a'] == {'x': [1, 2.5], 'y': 1}
    for key, value in (('a', {'x': (1, 2.5)}), ('type', Segmenter), ('set', {'a'}), ('number', [1.0])):
        assert canonical({**given, key: value}) != canonical(given)


def test_the_key_depends_on_the_overrides(segmenter):
    other = Segmenter(CONFIG, CHECKPOINT, 'cpu', {'model.test_cfg.score_thr': 0.2})
    assert other.describe()['config'] != segmenter.describe()['config']
    assert {**other.describe(), 'config': 0} == {**segmenter.describe(), 'config': 0}


# ---- what a user is told


def test_config_and_checkpoint_in_the_wrong_order():
    message = r'seem to be swapped: got .*solo_bg_tiny\.pth as CONFIG and .*solo_bg_tiny\.py as CHECKPOINT'
    with pytest.raises(SetupError, match=message):
        Segmenter(CHECKPOINT, CONFIG, 'cpu')
    with pytest.raises(SetupError, match='seem to be swapped'):
        Segmenter('no_such.pth', 'solo_r50_fpn_1x_coco', 'cpu')


def test_folders(tmp_path):
    with pytest.raises(SetupError, match=r'configs is a folder; expected a config file'):
        Segmenter(CONFIG.parent, CHECKPOINT, 'cpu')
    with pytest.raises(SetupError, match=r'is a folder; expected a checkpoint file; there is none in it'):
        Segmenter(CONFIG, tmp_path, 'cpu')
    for name in ('epoch_2.pth', 'epoch_10.pth', 'notes.txt'):
        (tmp_path / name).write_text('')
    with pytest.raises(SetupError, match=r'such as .*/epoch_10\.pth or .*/epoch_2\.pth$'):
        Segmenter(CONFIG, tmp_path, 'cpu')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/work/epoch_2.pth')
    with pytest.raises(SetupError, match=r'such as .*/epoch_2\.pth, the last one of the training there$'):
        Segmenter(CONFIG, tmp_path, 'cpu')


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        (['photo.png'], r"must be an array, .*; got str 'photo\.png'\. Read a file first"),
        ('photo.png', 'must be an array'),
        ([CONFIG], 'must be an array'),
        ([torch.zeros(4, 4, 3, dtype=torch.uint8)], r'must be an array, .*; got Tensor\. Read'),
        ([None], r'got NoneType\. .*cv2\.imread\(path\), which gives None'),
        (draw_scene(1, 32, 32)[0], r'expected a list of images, got one array; for one image give \[image\]'),
    ],
)
def test_images_that_are_none(segmenter, images, message):
    with pytest.raises(ImageError, match=message):
        segmenter(images)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('faster-rcnn_r50_fpn_1x_coco', 'gives boxes but no masks'),
        ('{folder}/solo_r50_fpn_1x_coco.py', 'cannot be read: ZeroDivisionError'),
    ],
)
def test_nothing_is_downloaded_for_a_config_that_cannot_be_used(tmp_path, monkeypatch, model, message):
    from solo_bg.models import find

    (tmp_path / 'solo_r50_fpn_1x_coco.py').write_text('1 / 0')
    monkeypatch.setattr(find, 'fetch_weights', lambda *args: pytest.fail('it was downloaded'))
    with pytest.raises(SetupError, match=message):
        Segmenter(model.format(folder=tmp_path), 'auto', 'cpu')
    with pytest.raises(SetupError, match=r'did you mean model\.test_cfg\.score_thr\?'):
        Segmenter('solo_r50_fpn_1x_coco', 'auto', 'cpu', ['model.test_cfg.score_th=0.1'])


def test_a_name_and_auto_from_python(tmp_path, monkeypatch):
    from findable import save_weights

    from solo_bg.models import find, zoo

    name = 'decoupled-solo-light_r50_fpn_3x_coco'
    save_weights(zoo.find(name).config, tmp_path / 'a.pth', draw_scene(1, 96, 128)[0], 20)
    monkeypatch.setattr(find, 'fetch_weights', lambda model: tmp_path / 'a.pth' if model.name == name else None)
    segmenter = Segmenter('decoupled-solo-light_r50', 'auto', 'cpu')
    assert segmenter.checkpoint == tmp_path / 'a.pth' and len(segmenter.class_names) == 80
