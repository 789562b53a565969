import contextlib
import copy
import io

import numpy as np
import pytest
import torch
from coco_data import CATEGORIES, decode, make_dataset
from pycocotools.coco import COCO

from solo_bg import ImageError, SetupError
from solo_bg.coco.dataset import Annotations
from solo_bg.core.crops import PACKED_FROM, Packed


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
        (lambda coco: coco['annotations'][0].update(category_id=1), 'annotation 1000 is of category 1, which is not'),
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


def test_sides_may_be_written_as_fractions(coco):
    coco['images'][0].update(height=60.0, width=80.0)
    assert len(Annotations(coco).read(coco['images'][0], (60, 80)).entries)


def test_everything_else_is_carried(coco):
    assert Annotations(coco).head == {'info': {'year': 2026}, 'licenses': [{'id': 1}], 'categories': CATEGORIES}


def one_image(*annotations, size=(10, 12)):
    """A data set of one image with these annotations, whose ids count from 1."""
    image = {'id': 1, 'file_name': '1.png', 'height': size[0], 'width': size[1]}
    entries = [{'id': number, 'image_id': 1, 'category_id': 7, **one} for number, one in enumerate(annotations, 1)]
    return Annotations({'images': [image], 'annotations': entries, 'categories': CATEGORIES})


def read(annotations):
    (image,) = annotations.coco['images']
    return annotations.read(image, (image['height'], image['width']))


GOOD = {'segmentation': [[1, 1, 5, 1, 5, 6]]}


def test_one_bad_annotation_does_not_lose_its_image(caplog):
    bad = [{'segmentation': shape} for shape in ([[1, 1, 5, 1]], {'size': [10, 12], 'counts': [5]}, 'text')]
    labelled = read(one_image(bad[0], GOOD, *bad[1:], {**GOOD, 'category_id': 3}))
    assert [entry['id'] for entry in labelled.entries] == [2, 5]
    assert labelled.instances.names == ['round', 'other']
    assert labelled.decisions == {'skipped': [1, 3, 4]}
    for mask in labelled.instances.masks:
        np.testing.assert_array_equal(mask, decode(GOOD['segmentation'], (10, 12)))
    assert len(caplog.messages) == 1 and 'annotation 1 has a polygon of 4 numbers' in caplog.text


def test_what_reaches_outside_is_clipped_and_what_is_no_polygon_is_left_out():
    outside, far = {'segmentation': [[5, 2, 20, 2, 20, 8, 5, 8]]}, {'segmentation': [[5, 2, 1e6, 2, 1e6, 8, 5, 8]]}
    part = {'segmentation': [GOOD['segmentation'][0], [1, 1, 2, 2], []]}
    labelled = read(one_image(outside, far, part, GOOD))
    assert labelled.decisions == {'clipped': [1, 2], 'parts skipped': [3]}
    expected = np.zeros((10, 12), bool)
    expected[2:8, 5:] = True
    for mask in labelled.instances.masks[:2]:
        np.testing.assert_array_equal(mask, expected)
    assert [entry['segmentation'] for entry in labelled.entries[::2]] == [outside['segmentation'], GOOD['segmentation']]
    for entry, mask in zip(labelled.entries, labelled.instances.masks, strict=True):  # what is written reads the same
        np.testing.assert_array_equal(decode(entry['segmentation'], (10, 12)), mask)


def test_masks_are_held_as_boxes_and_crops():
    """100 masks of 50x50 in a 4K image; dense, they would take 829 MB."""
    squares = [{'segmentation': [[x, 7, x + 50, 7, x + 50, 57, x, 57]]} for x in range(0, 3000, 30)]
    instances = read(one_image(*squares, size=(2160, 3840))).instances
    assert instances._dense is None and sum(crop.numel() for crop in instances.crops) == 100 * 50 * 50
    assert instances.boxes.tolist() == [[x, 7, x + 50, 57] for x in range(0, 3000, 30)]


def test_large_masks_are_packed():
    height, width = 1100, 1000
    instances = read(one_image({'bbox': [0, 0, width, height]}, GOOD, size=(height, width))).instances
    assert height * width > PACKED_FROM
    assert [isinstance(crop, Packed) for crop in instances.crops.held] == [True, False]
    assert instances.crops[0].all() and torch.equal(instances.masks[1], instances[1].masks[0])


def test_an_image_without_annotations():
    labelled = read(one_image())
    assert len(labelled.instances) == 0 and labelled.entries == [] and labelled.decisions == {}
    assert labelled.instances.masks.shape == (0, 10, 12) and labelled.instances.class_names == ('round', 'other')
