"""A data set of a bank and backgrounds: what is annotated is what was pasted."""

import contextlib
import io
import json
import math
import sys

import cv2
import numpy as np
import pytest
from banks import make_bank
from conftest import ROOT
from pycocotools.coco import COCO

from solo_bg.bank.bank import Bank
from solo_bg.bank.dataset import Composition, compose_dataset
from solo_bg.bank.place import Rules
from solo_bg.disk.inputs import list_images
from solo_bg.errors import SetupError

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
RULES = Rules(feather=0, count=(2, 4))


@pytest.fixture
def data(tmp_path, rng):
    """A bank of one crop of one colour for each class, and three backgrounds of dark noise."""
    crops = [np.full((20, 30, 4), (*colour, 255), np.uint8) for colour in COLOURS]
    make_bank(tmp_path / 'bank', crops, classes=['blue', 'green', 'red'])
    (tmp_path / 'grounds').mkdir()
    for number in range(3):
        noise = rng.integers(0, 100, (70 + number, 90, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'grounds/{number}.png'), noise)
    return tmp_path


def compose(data, out, **options):
    given = {'rules': RULES, 'count': 5, **options}
    bank, grounds = Bank.from_path(data / 'bank'), list_images([str(data / 'grounds')])
    return compose_dataset(Composition(bank, grounds, **given), data / out)


def tree(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}


def test_the_annotations_are_the_pasted_pixels(data):
    made = compose(data, 'out')
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(data / 'out/annotations.json'))
    assert made.images == len(coco.imgs) == 5 and made.instances == len(coco.anns) >= 10
    assert [one['name'] for one in coco.dataset['categories']] == ['blue', 'green', 'red']
    for number, image in coco.imgs.items():
        ground = cv2.imread(str(data / 'grounds' / image['background']))
        assert image['background'] == f'{(number - 1) % 3}.png'
        expected = ground.copy()
        for one in coco.imgToAnns[number]:
            mask = coco.annToMask(one).astype(bool)
            expected[mask] = COLOURS[one['category_id'] - 1]
            assert one['area'] == mask.sum() and one['iscrowd'] == 0
            assert one['crop'] == f'instances/{one["category_id"] - 1}.png'
            assert one['licence'] == f'licence {one["category_id"] - 1}'
        np.testing.assert_array_equal(cv2.imread(str(data / 'out/images' / image['file_name'])), expected)


def test_the_same_seed_gives_the_same_bytes(data):
    compose(data, 'first')
    compose(data, 'again')
    compose(data, 'other', seed=1)
    assert tree(data / 'first') == tree(data / 'again') != tree(data / 'other')


def test_an_image_does_not_depend_on_the_number_of_images(data):
    compose(data, 'few', count=2)
    compose(data, 'many')
    few, many = tree(data / 'few'), tree(data / 'many')
    assert all(few[name] == many[name] for name in few if name.startswith('images/')) and len(few) < len(many)


def test_smaller_backgrounds(data):
    compose(data, 'out', longest=45, count=None)
    shapes = [cv2.imread(str(path)).shape for path in sorted((data / 'out/images').iterdir())]
    assert shapes == [(35, 45, 3), (36, 45, 3), (36, 45, 3)]


def test_the_contact_sheet_shows_backgrounds_composed_and_annotated(data):
    compose(data, 'out', count=3)
    sheet = cv2.imread(str(data / 'out/contact_sheet.jpg')).astype(int)
    third = sheet.shape[1] // 3
    saturated = [(np.ptp(sheet[:, part * third : (part + 1) * third], axis=2) > 150).mean() for part in range(3)]
    assert saturated[0] < 0.001 < saturated[1]


def test_a_background_that_cannot_be_read_is_left_out_and_reported(data):
    (data / 'grounds/0.png').write_bytes(b'text')
    made = compose(data, 'out')
    assert made.images == 3 and len(made.failures) == 2 and 'grounds/0.png' in made.failures[0]
    for number in (1, 2):
        (data / f'grounds/{number}.png').write_bytes(b'text')
    with pytest.raises(SetupError, match='no background can be used'):
        compose(data, 'none')


def test_a_folder_that_holds_something_is_refused(data):
    with pytest.raises(SetupError, match='holds something already'):
        compose(data, 'grounds')


def test_the_tool(data, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    import compose_dataset as tool

    argv = [data / 'bank', data / 'grounds', '--count', 5, '--instances', 2, 4, '--feather', 0]
    monkeypatch.setattr(sys, 'argv', ['compose_dataset.py', *map(str, argv), '-o', str(data / 'tool')])
    assert tool.main() == 0
    compose(data, 'out')
    assert tree(data / 'tool') == tree(data / 'out')
    assert f'5 images with {len(json.loads(tree(data / "out")["annotations.json"])["annotations"])} instances' in (
        capsys.readouterr().out
    )
    monkeypatch.setattr(sys, 'argv', ['compose_dataset.py', *map(str, argv), '-o', str(data / 'tool')])
    assert tool.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'holds something already' in line


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--count', '0'], 'at least 1'),
        (['--longest', '-5'], 'at least 1'),
        (['--quality', '500'], '1 to 100'),
        (['--seed', '-1'], 'at least 0'),
        (['--score-thr', 'nan'], 'from 0 to 1'),
    ],
)
def test_wrong_numbers_are_refused(monkeypatch, capsys, options, message):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    import compose_dataset as tool

    monkeypatch.setattr(sys, 'argv', ['compose_dataset.py', 'bank', 'grounds', '-o', 'out', *options])
    with pytest.raises(SystemExit, match='2'):
        tool.main()
    assert f'argument {options[0]}: expected' in (error := capsys.readouterr().err) and message in error


def test_wrong_values_from_python_are_refused(data):
    for name in ('count', 'longest'):
        with pytest.raises(SetupError, match=f'{name} expected a number of at least 1, got 0'):
            compose(data, 'out', **{name: 0})
    with pytest.raises(SetupError, match='there is no background'):
        compose_dataset(Composition(Bank.from_path(data / 'bank'), []), data / 'out')
    for rules in ({'feather': math.nan}, {'scale': (0.5, math.inf)}):
        with pytest.raises(ValueError, match='expected'):
            Rules(**rules)
    assert not (data / 'out').exists()
