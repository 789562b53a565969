import contextlib
import copy
import io
import json

import numpy as np
import pytest
from coco_data import CATEGORIES, make_dataset
from pycocotools.coco import COCO

from solo_bg import ImageError, SetupError
from solo_bg.coco.dataset import Annotations, decode, encode, sum_of_counts


@pytest.fixture
def coco(tmp_path):
    return make_dataset(tmp_path)


def test_masks_are_pycocotools(coco, tmp_path):
    annotations = Annotations(coco)
    with contextlib.redirect_stdout(io.StringIO()):
        trusted = COCO(str(tmp_path / 'instances.json'))
    assert annotations.class_names == ('round', 'other')
    for image in coco['images']:
        labelled = annotations.read(image, (60, 80))
        expected = trusted.imgToAnns[image['id']]
        assert [entry['id'] for entry in labelled.entries] == [entry['id'] for entry in expected]
        for mask, label, entry in zip(labelled.instances.masks, labelled.instances.labels, expected, strict=True):
            np.testing.assert_array_equal(mask, trusted.annToMask(entry).astype(bool))
            assert CATEGORIES[label]['id'] == entry['category_id']


def test_rle_both_ways(rng):
    mask = rng.random((13, 7)) < 0.4
    entry = {'id': 1, 'segmentation': encode(mask)}
    assert json.loads(json.dumps(entry)) == entry
    np.testing.assert_array_equal(decode(entry, (13, 7)), mask)
    flat = mask.ravel('F').astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()  # where runs of ones and zeros begin, the first of zeros
    counts = np.diff([0, *edges, len(flat)]).tolist()
    np.testing.assert_array_equal(decode({'id': 1, 'segmentation': {'size': [13, 7], 'counts': counts}}, (13, 7)), mask)


@pytest.mark.parametrize('segmentation', [None, [], {}, [[]]])
def test_without_a_segmentation_the_box_counts(segmentation):
    mask = decode({'id': 1, 'segmentation': segmentation, 'bbox': [2.5, -1, 3, 4.2]}, (10, 12))
    expected = np.zeros((10, 12), bool)
    expected[0:4, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ('box', 'pixels'),
    [([-10, 2, 5, 4], 0), ([20, 2, 5, 4], 0), ([1, 1, 0, 4], 0), ([-1, -1, 99, 99], 120), ([3, 3, 1, 1], 1)],
)
def test_only_what_a_box_has_in_the_image_counts(box, pixels):
    assert decode({'id': 1, 'bbox': box}, (10, 12)).sum() == pixels


@pytest.mark.parametrize('seed', range(5))
def test_the_length_of_a_compressed_code(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2)
    mask = rng.random((height, width)) < rng.random() ** 3
    assert sum_of_counts(encode(mask)['counts'].encode()) == height * width


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([[1, 1, 5, 1, 5, 30]], r'annotation 9 has a point at \(5, 30\), outside its image 12x10'),
        ([[1, 1, 5, 1]], 'annotation 9 has a polygon of 4 numbers'),
        ([[1, 1, 5, 1, 5]], 'annotation 9 has a polygon of 5 numbers'),
        ({'size': [12, 10], 'counts': 'abc'}, r'annotation 9 has an RLE of \[12, 10\]'),
        ({'counts': 'abc'}, 'annotation 9 has a segmentation that is neither'),
        ({'size': [10, 12], 'counts': [5]}, 'annotation 9 has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': [130, -10]}, 'annotation 9 has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': ''}, 'annotation 9 has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': '5'}, 'annotation 9 has an RLE that does not fill its image'),
        ({'size': [10, 12], 'counts': [1e300]}, 'annotation 9 has'),
        ([[1, 1, 5, 1, 5, float('nan')]], 'annotation 9 has a point at'),
        ([[1, 1, 5, 1, 5, float('inf')]], 'annotation 9 has a point at'),
        ([['a', 'b', 'c', 'd', 'e', 'f']], 'annotation 9 has a segmentation that is neither'),
        ('text', 'annotation 9 has'),
        (5, 'annotation 9 has'),
    ],
)
def test_what_is_no_segmentation_of_the_image(segmentation, message):
    with pytest.raises(ImageError, match=message):
        decode({'id': 9, 'segmentation': segmentation}, (10, 12))


def test_a_polygon_may_touch_the_border():
    assert decode({'id': 9, 'segmentation': [[0, 0, 12.4, 0, 12.4, 10.4, 0, 10]]}, (10, 12)).all()


def test_an_image_of_another_size(coco):
    with pytest.raises(ImageError, match='it is 60x80, but image 50 of the annotations is 80x60'):
        Annotations(coco).read(coco['images'][0], (80, 60))


def broken(coco, change):
    coco = copy.deepcopy(coco)
    change(coco)
    return coco


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda coco: coco.pop('images'), 'no COCO data set'),
        (lambda coco: coco.update(annotations={}), 'no COCO data set'),
        (lambda coco: coco.update(categories=[]), 'categories: the list is empty'),
        (lambda coco: coco['images'][0].pop('file_name'), 'images: .* lacks one of id, file_name'),
        (lambda coco: coco['annotations'].insert(0, 'text'), 'annotations: text lacks'),
        (lambda coco: coco['images'].append(coco['images'][1]), 'images: the id 51 occurs more than once'),
        (lambda coco: coco['annotations'].append(coco['annotations'][2]), 'annotations: the id 1002 occurs more'),
        (lambda coco: coco['categories'].append(CATEGORIES[1]), 'categories: the id 3 occurs more than once'),
        (lambda coco: coco['annotations'][0].update(image_id=1), 'annotation 1000 is of image 1, which is not listed'),
        (lambda coco: coco['annotations'][0].update(category_id=1), 'annotation 1000 is of category 1, not listed'),
        (lambda coco: coco['annotations'][0].update(segmentation=[], bbox=[1, 2]), 'annotation 1000 has neither'),
        (lambda coco: coco['annotations'][0].update(segmentation=[[]], bbox=5), 'annotation 1000 has neither'),
        (lambda coco: coco['annotations'][0].update(segmentation=None, bbox=[None] * 4), 'annotation 1000 has neither'),
        (
            lambda coco: coco['annotations'][0].update(segmentation=[], bbox=[1, 1, -3, 4]),
            'annotation 1000 has the bbox',
        ),
        (lambda coco: coco['annotations'][0].update(image_id=[50]), 'an id that is neither'),
        (lambda coco: coco['images'][0].update(id={}), 'an id that is neither'),
        (lambda coco: coco['images'][0].update(file_name=None), 'image 50 has the file name None'),
        (lambda coco: coco['images'][0].update(width='80'), "image 50 is '80' wide"),
        (lambda coco: coco['images'][0].update(file_name='./sub//1.png'), 'the file name sub/1.png occurs more'),
    ],
)
def test_what_is_no_data_set(coco, change, message):
    with pytest.raises(SetupError, match=message):
        Annotations(broken(coco, change))


@pytest.mark.parametrize('given', [[], None, 'text', 3])
def test_other_json(given):
    with pytest.raises(SetupError, match='no COCO data set'):
        Annotations(given)


def with_images(*names):
    images = [{'id': index, 'file_name': name, 'height': 1, 'width': 1} for index, name in enumerate(names)]
    return Annotations({'images': images, 'annotations': [], 'categories': CATEGORIES})


def test_images_are_matched_by_path_then_by_a_base_name_that_is_unique_on_both_sides():
    annotations = with_images('a/1.png', 'b/1.png', 'old/2.png', 'old/3.png', 'new/3.png', '4.png', '5.png')
    files = ['a/1.png', 'c/1.png', 'x/2.png', 'x/3.png', 'x/4.png', 'y/4.png', 'z/9.png']
    matches = annotations.match({f'in/{name}': name for name in files})
    assert {key: image['file_name'] for key, image in matches.found.items()} == {
        'in/a/1.png': 'a/1.png',
        'in/c/1.png': 'b/1.png',  # the other 1.png is taken by its path
        'in/x/2.png': 'old/2.png',
    }
    assert matches.missing == ['old/3.png', 'new/3.png', '4.png', '5.png']
    assert matches.unknown == ['in/x/3.png', 'in/x/4.png', 'in/y/4.png', 'in/z/9.png']


def test_files_that_share_a_path_below_input_are_ambiguous():
    matches = with_images('./1.png', 'a\\2.png').match({'x/1.png': '1.png', 'y/1.png': '1.png', 'x/a/2.png': 'a/2.png'})
    assert matches.ambiguous == ['x/1.png', 'y/1.png'] and matches.missing == [] and matches.unknown == []
    assert list(matches.found) == ['x/a/2.png']


def test_sides_may_be_written_as_fractions(coco):
    coco['images'][0].update(height=60.0, width=80.0)
    assert len(Annotations(coco).read(coco['images'][0], (60, 80)).entries)


def test_everything_else_is_carried(coco):
    assert Annotations(coco).head == {'info': {'year': 2026}, 'licenses': [{'id': 1}], 'categories': CATEGORIES}
