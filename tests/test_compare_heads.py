"""`tools/compare_heads.py`: mmdet's head and the lazy one on a COCO data set."""

import json
import sys

import pytest
from coco_data import encode, make_dataset
from conftest import CHECKPOINT, CONFIG, ROOT
from pycocotools.coco import COCO

from solo_bg import SetupError


@pytest.fixture
def compare_heads(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    import compare_heads

    return compare_heads


@pytest.fixture
def data(tmp_path):
    """Objects of one category each, none of them a crowd; the data set and its file."""
    given = make_dataset(tmp_path)
    for one in given['annotations']:
        one['iscrowd'] = 0
    (tmp_path / 'instances.json').write_text(json.dumps(given))
    return given, tmp_path / 'instances.json'


def test_average_precision_by_class_and_size(compare_heads, data):
    given, path = data
    coco = COCO(str(path))
    masks = {one['id']: coco.annToMask(one).astype(bool) for one in given['annotations']}
    found = [
        {
            **{key: one[key] for key in ('image_id', 'category_id')},
            'segmentation': encode(masks[one['id']]),
            'score': 0.9,
        }
        for one in given['annotations']
    ]
    images = sorted(coco.imgs)
    result = compare_heads.average_precision(coco, found, images)
    assert result['mask AP'] > 0.99 and result['AP50'] > 0.99 and result['large'] == -1  # images of 60x80
    boxed = [{**one, 'bbox': [0, 0, 200, 200]} for one in found]  # the size is that of the mask
    assert compare_heads.average_precision(coco, boxed, images) == result
    half = [one for one in found if one['category_id'] == 7]
    assert compare_heads.average_precision(coco, half, images)['AP50'] == pytest.approx(0.5, abs=0.01)
    swapped = [{**one, 'category_id': 10 - one['category_id']} for one in found]  # 7 and 3
    assert compare_heads.average_precision(coco, swapped, images)['AP50'] < 0.1
    assert compare_heads.average_precision(coco, swapped, images, ignore_classes=True)['AP50'] > 0.99
    assert compare_heads.average_precision(coco, [], images)['mask AP'] == 0


def test_both_heads_side_by_side(compare_heads, data, tmp_path, monkeypatch, capsys):
    argv = ['', CONFIG, CHECKPOINT, data[1], tmp_path / 'images', '--device', 'cpu', '--limit', '2']
    monkeypatch.setattr(sys, 'argv', [*map(str, argv), '--ignore-classes'])
    compare_heads.main()
    heading, line, row = (text.strip('| ').split(' | ') for text in capsys.readouterr().out.splitlines())
    assert len(heading) == len(line) == len(row) == 9 and row[:2] == ['solo_bg_tiny', '2']
    for cell in row[2:7]:  # the same weights find the same
        first, second = map(float, cell.split(' / '))
        assert first == pytest.approx(second, abs=2e-3)
    assert float(row[3].split(' / ')[0]) > 0 and row[7].endswith('x)') and row[8].endswith('fp32, torch')


def test_classes_of_another_data_set_are_refused(compare_heads, data):
    coco = COCO(str(data[1]))
    assert compare_heads.match_categories(coco, ('other', 'unknown', 'round'), False) == [3, None, 7]
    with pytest.raises(SetupError, match='--ignore-classes'):
        compare_heads.match_categories(coco, ('person', 'cat'), False)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'nowhere.json: cannot be read: No such file'),
        ('[]', 'this is no COCO data set'),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', 'lists no images'),
    ],
)
def test_annotations_that_cannot_be_used_are_named(compare_heads, tmp_path, content, message):
    path = tmp_path / 'nowhere.json'
    if content:
        path.write_text(content)
    with pytest.raises(SetupError, match=message):
        compare_heads.read_coco(path)


def test_an_image_that_is_not_there_is_named(compare_heads, data, tmp_path):
    coco = compare_heads.read_coco(data[1])
    with pytest.raises(SetupError, match=r'nowhere/.* cannot be read: No such file'):
        compare_heads.compare([], coco, tmp_path / 'nowhere', sorted(coco.imgs), [])


def test_a_limit_is_at_least_one(compare_heads, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['', 'config', 'checkpoint', 'a.json', 'images', '--limit', '0'])
    with pytest.raises(SystemExit):
        compare_heads.main()
    assert 'at least 1' in capsys.readouterr().err
