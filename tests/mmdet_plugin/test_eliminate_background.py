"""The online transform against the offline run and against pycocotools."""

import contextlib
import copy
import io
import json

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from pycocotools.coco import COCO

from solo_bg import SetupError
from solo_bg.cli import main as cli
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmdet.registry import DATASETS, TRANSFORMS
    from mmengine.registry import init_default_scope

    from solo_bg.mmdet_plugin import eliminate_background


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path)


def offline(tmp_path, *options):
    argv = [
        '--source',
        'gt',
        '--ann',
        tmp_path / 'instances.json',
        tmp_path / 'images',
        '-o',
        tmp_path / 'out',
        '--quiet',
    ]
    assert cli.main([*map(str, argv), '--styles', 'eliminated,mask', *options]) == 0
    return json.loads((tmp_path / 'out/annotations.json').read_text())


def online(tmp_path, poly2mask=True, **options):
    """mmdet's own data set with the transform in its pipeline."""
    init_default_scope('mmdet')
    dataset = DATASETS.build(
        {
            'type': 'CocoDataset',
            'metainfo': {'classes': ('round', 'other')},
            'ann_file': str(tmp_path / 'instances.json'),
            'data_prefix': {'img': str(tmp_path / 'images/')},
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': poly2mask},
                {'type': 'EliminateBackground', 'prob': 1.0, **options},
            ],
        }
    )
    return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize(
    'options', [{}, {'fill': 'noise', 'seed': 5}, {'fill': 'blur', 'dilate': 3}, {'fill': '9,8,7'}]
)
def test_online_offline_and_pycocotools_agree(data, tmp_path, options):
    words = [word for key, value in options.items() for word in (f'--{key}', str(value))]
    carried = offline(tmp_path, *words)
    by_id = sorted(carried['annotations'], key=lambda one: one['id'])  # image after image, sorted by name
    assert by_id == data['annotations'] and len(carried['images']) == 4
    results = {result['img_path'].split('images/')[1]: result for result in online(tmp_path, **options)}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / 'out/annotations.json'))
    for image in coco.dataset['images']:
        union = np.any([coco.annToMask(one) for one in coco.imgToAnns[image['id']]], axis=0)
        written = cv2.imread(str(tmp_path / 'out/eliminated' / image['file_name']))
        original = cv2.imread(str(tmp_path / 'images' / image['file_name']))
        np.testing.assert_array_equal(written, results[image['file_name']]['img'])
        np.testing.assert_array_equal(written[union], original[union])
        if not options:
            assert not written[~union].any()
        elif options.get('fill') == '9,8,7':
            assert (written[~union] == (7, 8, 9)).all()  # given as red, green, blue
        else:
            mask = cv2.imread(str(tmp_path / 'out/mask' / image['file_name']), cv2.IMREAD_UNCHANGED) > 0
            assert (written[~mask] != original[~mask]).mean() > 0.5
            assert mask.sum() > union.sum() if 'dilate' in options else (mask == union).all()


def test_polygons_are_bitmaps(data, tmp_path):
    """Where all annotations are polygons both forms give the same; as polygons mmdet drops RLE."""
    polygons = [one for one in data['annotations'] if isinstance(one['segmentation'], list)]
    (tmp_path / 'instances.json').write_text(json.dumps({**data, 'annotations': polygons}))
    for first, second in zip(online(tmp_path), online(tmp_path, poly2mask=False), strict=True):
        np.testing.assert_array_equal(first['img'], second['img'])


@pytest.mark.parametrize('options', [{'classes': [1]}, {'classes': ['other'], 'class_names': ['round', 'other']}])
def test_other_classes_leave(data, tmp_path, options):
    carried = offline(tmp_path, '--classes', 'other')
    assert {one['category_id'] for one in carried['annotations']} == {3}
    written = {image['file_name'] for image in carried['images']}
    assert 0 < len(written) < 4
    for result, before in zip(online(tmp_path, **options), online(tmp_path), strict=True):
        name = result['img_path'].split('images/')[1]
        if name in written:
            np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out/eliminated' / name)), result['img'])
            assert set(result['gt_bboxes_labels']) == {1}
        else:  # nothing of the class: the image stays, and so do its annotations
            np.testing.assert_array_equal(cv2.imread(result['img_path']), result['img'])
            assert len(result['gt_masks']) == len(before['gt_masks'])
        assert len(result['gt_masks']) == len(result['gt_bboxes']) == len(result['gt_ignore_flags'])


def test_masks_from_a_file_of_an_offline_run(data, tmp_path):
    offline(tmp_path, '--classes', 'round')
    from_file = online(tmp_path, source='file', ann_file=str(tmp_path / 'out/annotations.json'))
    for result, expected in zip(from_file, online(tmp_path), strict=True):
        name = result['img_path'].split('images/')[1]
        written = cv2.imread(str(tmp_path / 'out/eliminated' / name))
        np.testing.assert_array_equal(result['img'], written)
        assert len(result['gt_masks']) == len(expected['gt_masks'])  # its own annotations stay


def test_classes_are_found_in_a_file_by_their_names(data, tmp_path):
    """The file's categories are in another order than the labels."""
    other = {**data, 'categories': data['categories'][::-1]}
    (tmp_path / 'other.json').write_text(json.dumps(other))
    options = {'classes': ['other'], 'class_names': ['round', 'other']}
    from_file = online(tmp_path, source='file', ann_file=str(tmp_path / 'other.json'), **options)
    for result, expected in zip(from_file, online(tmp_path, **options), strict=True):
        np.testing.assert_array_equal(result['img'], expected['img'])


def test_an_image_that_is_not_in_the_file_stays_as_it_is(data, tmp_path):
    few = {
        **data,
        'images': data['images'][:1],
        'annotations': [one for one in data['annotations'] if one['image_id'] == 50],
    }
    (tmp_path / 'few.json').write_text(json.dumps(few))
    first, second, *_ = online(tmp_path, source='file', ann_file=str(tmp_path / 'few.json'))
    np.testing.assert_array_equal(first['img'], online(tmp_path)[0]['img'])
    np.testing.assert_array_equal(second['img'], cv2.imread(second['img_path']))


def test_files_of_one_name_are_told_apart_by_their_folders(data, tmp_path):
    transform = TRANSFORMS.build(
        {'type': 'EliminateBackground', 'source': 'file', 'ann_file': str(tmp_path / 'instances.json')}
    )
    names = ('a/x.png', 'b/a/x.png', 'c/x.png', 'y.jpg.png')
    entries = [{'file_name': name} for name in names]
    transform.entries = {'x': entries[:3], 'y.jpg': entries[3:]}
    from pathlib import PurePosixPath

    assert transform.find(PurePosixPath('/data/b/a/x.jpg')) is entries[1]
    assert transform.find(PurePosixPath('/data/c/x.jpg')) is entries[2]
    assert transform.find(PurePosixPath('/data/d/x.jpg')) is None
    assert transform.find(PurePosixPath('/data/y.jpg')) is entries[3] and transform.find(PurePosixPath('z.png')) is None
    transform.entries = {'x': [{'file_name': 'a/x.png'}]}
    assert transform.find(PurePosixPath('/data/b/x.png')) is None  # though it alone is called so
    both = [{'file_name': 'x.jpg'}, {'file_name': 'x.png'}]
    transform.entries = {'x': both}
    assert [transform.find(PurePosixPath(f'/data/x.{suffix}')) for suffix in ('jpg', 'png')] == both


def test_prob_is_a_share_of_the_calls(data, tmp_path):
    np.random.seed(0)
    transform = TRANSFORMS.build({'type': 'EliminateBackground', 'prob': 0.3, 'fill': '0,0,0'})
    (result, *_), changed = online(tmp_path, dilate=0), 0
    original = cv2.imread(result['img_path'])
    for _ in range(200):
        changed += bool((transform(copy.deepcopy({**result, 'img': original}))['img'] != original).any())
    assert 40 < changed < 80


def test_images_without_masks_stay(data, tmp_path):
    result = online(tmp_path)[0]
    nothing = np.zeros(len(result['gt_masks']), bool)
    result |= {key: result[key][nothing] for key in ('gt_masks', 'gt_bboxes_labels')}
    result['img'] = np.full((60, 80, 3), 7, np.uint8)
    transform = TRANSFORMS.build({'type': 'EliminateBackground', 'prob': 1.0})
    assert (transform(result)['img'] == 7).all()


def test_after_a_geometric_transform_it_says_so(data, tmp_path):
    result = online(tmp_path)[0]
    result['img'] = result['img'][:30]
    for source in ({}, {'source': 'file', 'ann_file': str(tmp_path / 'instances.json')}):
        with pytest.raises(ValueError, match='belongs before any transform'):
            TRANSFORMS.build({'type': 'EliminateBackground', 'prob': 1.0, **source})(result)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'source': 'model'}, ValueError, "source is 'gt', or 'file'"),
        ({'source': 'file'}, ValueError, 'with an ann_file'),
        ({'prob': 2}, ValueError, 'prob must be'),
        ({'fill': 'pink'}, SetupError, 'no fill is called'),
        ({'fill': 'dataset-mean'}, SetupError, 'give the colour as R,G,B'),
        ({'classes': ['cat'], 'class_names': ['dog']}, ValueError, "no class named 'cat'"),
        ({'classes': 'dog', 'class_names': ['dog']}, ValueError, "a list of names or label indices, got 'dog'"),
        ({'classes': [1], 'class_names': ['dog']}, ValueError, 'no class has the label 1'),
        ({'classes': [-1]}, ValueError, 'no class has the label -1'),
        ({'dilate': 1.5}, ValueError, 'dilate must be a whole number'),
        ({'seed': -1}, ValueError, 'seed must be a whole number'),
        ({'source': 'file', 'ann_file': 'nowhere.json'}, SetupError, 'nowhere.json: cannot be read'),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        TRANSFORMS.build({'type': 'EliminateBackground', **options})


def test_labels_may_be_numpys():
    made = TRANSFORMS.build({'type': 'EliminateBackground', 'classes': list(np.array([2, 0]))})
    assert made.labels == {0, 2}


# ---- masks from a file behind other transforms, and data that does not fit


def behind(tmp_path, *before, poly2mask=True, **options):
    """mmdet's data set whose images pass `before`, then the transform with `source='file'`."""
    init_default_scope('mmdet')
    options = {'source': 'file', 'ann_file': str(tmp_path / 'instances.json'), 'prob': 1.0, **options}
    dataset = DATASETS.build(
        {
            'type': 'CocoDataset',
            'metainfo': {'classes': ('round', 'other')},
            'ann_file': str(tmp_path / 'instances.json'),
            'data_prefix': {'img': str(tmp_path / 'images/')},
            'pipeline': [{'type': 'LoadImageFromFile'}, *before, {'type': 'EliminateBackground', **options}],
        }
    )
    return [dataset[index] for index in range(len(dataset))]


def flip(direction, kind='RandomFlip'):
    return {'type': kind, 'prob': 1.0, 'direction': direction}


@pytest.mark.parametrize(
    ('before', 'axes'),
    [
        ([flip('horizontal')], 1),
        ([flip('vertical')], 0),
        ([flip('diagonal')], (0, 1)),
        ([flip('horizontal'), flip('vertical')], (0, 1)),
        ([flip('horizontal'), flip('horizontal')], ()),
        ([flip('horizontal', 'mmcv.RandomFlip')], 1),
        ([{'type': 'RandomFlip', 'prob': 0.0}], ()),
        ([{'type': 'Resize', 'scale': (80, 60)}, flip('horizontal')], 1),
    ],
)
def test_masks_of_a_file_are_flipped_as_the_image_was(data, tmp_path, before, axes):
    for flipped, plain in zip(behind(tmp_path, *before), behind(tmp_path), strict=True):
        assert (plain['img'] == 0).any() and (plain['img'] != 0).any()
        np.testing.assert_array_equal(flipped['img'], np.flip(plain['img'], axes))


@pytest.mark.parametrize(
    'before',
    [
        {'type': 'Rotate', 'prob': 1.0, 'level': 10},
        {'type': 'TranslateX', 'prob': 1.0, 'level': 10},
    ],
)
def test_other_geometry_before_masks_of_a_file_is_refused(data, tmp_path, before):
    with pytest.raises(ValueError, match='put it before all geometric transforms but RandomFlip'):
        behind(tmp_path, before)


def test_without_loaded_masks_it_says_what_to_load(data, tmp_path):
    transform = TRANSFORMS.build({'type': 'EliminateBackground', 'prob': 1.0})
    with pytest.raises(ValueError, match=r"no 'gt_masks'; put LoadAnnotations\(with_mask=True\) before it"):
        transform({'img': np.zeros((60, 80, 3), np.uint8), 'img_path': 'a.png'})


def other_names(data, tmp_path):
    """A file of the same annotations in which no image of the data set is found; a transform that reads it."""
    images = [{**image, 'file_name': f'other/{image["id"]}.png'} for image in data['images']]
    (tmp_path / 'other.json').write_text(json.dumps({**data, 'images': images}))
    options = {'source': 'file', 'ann_file': str(tmp_path / 'other.json'), 'prob': 1.0}
    return TRANSFORMS.build({'type': 'EliminateBackground', **options})


def test_the_first_image_that_is_not_in_the_file_is_logged(data, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(eliminate_background, 'print_log', lambda text, *rest: logged.append(text))
    transform = other_names(data, tmp_path)
    for index in range(5):
        transform({'img': np.zeros((60, 80, 3), np.uint8), 'img_path': f'/data/{index}.png'})
    assert len(logged) == 1 and logged[0].startswith('/data/0.png is not in ') and 'other/50.png' in logged[0]


@pytest.mark.parametrize('one_is_found', [False, True])
def test_a_file_without_any_of_many_images_is_refused(data, tmp_path, one_is_found):
    transform, image = other_names(data, tmp_path), np.ones((60, 80, 3), np.uint8)
    if one_is_found:
        transform({'img': image, 'img_path': '/data/other/50.png'})
    for index in range(eliminate_background.ALL_MISSED - 1):
        transform({'img': image, 'img_path': f'/data/{index}.png'})
    last = {'img': image, 'img_path': '/data/last.png'}
    if one_is_found:
        assert transform(last)['img'].all()
        return
    with pytest.raises(
        ValueError, match=r'none of 200 images is in .*other.json; expected file names such as other/50'
    ):
        transform(last)
