import numpy as np
import pytest
from banks import make_bank, noise_crops

from solo_bg.bank.bank import Bank
from solo_bg.bank.place import Rules, draw_place, draw_size
from solo_bg.errors import SetupError

SIZES = [(20, 30), (40, 10), (16, 16), (25, 25), (30, 30)]


@pytest.fixture
def root(tmp_path, rng):
    more = {'at_edge': [False, False, True, False, False], 'crowd': [False, False, False, True, False]}
    make_bank(tmp_path, noise_crops(rng, SIZES), classes=['a', 'b', 'a', 'b', 'c'], **more)
    return tmp_path


@pytest.mark.parametrize(
    ('options', 'left'),
    [
        ({}, [0, 4]),
        ({'smallest': 10}, [0, 1, 4]),
        ({'whole': False}, [0, 2, 4]),
        ({'score_thr': 0.5}, [4]),
        ({'classes': ['a', 'b'], 'smallest': 1}, [0, 1]),
    ],
)
def test_what_is_taken(root, options, left):
    for path in (root, root / 'instances.jsonl'):
        assert [item.file for item in Bank.from_path(path, **options).items] == [f'instances/{one}.png' for one in left]


def test_a_crop_and_what_is_known_of_it(root, rng):
    bank = Bank.from_path(root)
    item = bank.items[0]
    assert (item.class_name, item.size, item.image_size, item.licence) == ('a', (20, 30), (100, 100), 'licence 0')
    assert bank.read(item).shape == (20, 30, 4) and (bank.read(item)[..., 3] == 255).all()


def test_a_rare_class_is_drawn_as_often_as_another(tmp_path, rng):
    bank = make_bank(tmp_path, noise_crops(rng, [(20, 20)] * 10), classes=['a'] * 9 + ['b'])
    drawn = [bank.draw(rng) for _ in range(1000)]
    assert 430 < sum(item.class_name == 'b' for item in drawn) < 570
    assert len({item.file for item in drawn}) == 10


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'make one with --styles instances'),
        ('no json', 'cannot be read as an index'),
        ('{"file": "a"}', 'line 1: expected an object with box, class'),
        ('', 'none of its 0 instances'),
    ],
)
def test_an_index_that_cannot_be_used(tmp_path, content, message):
    if content is not None:
        (tmp_path / 'instances.jsonl').write_text(content)
    with pytest.raises(SetupError, match=message):
        Bank.from_path(tmp_path)


def test_no_instance_is_left(root):
    with pytest.raises(SetupError, match=r'one of the classes z \(the index has a, b, c\), no part at the border'):
        Bank.from_path(root, ['z'])


def test_sizes_and_places_keep_to_the_rules(root, rng):
    item = Bank.from_path(root).items[0]  # 20 x 30 of an image 100 x 100
    same = Rules(scale=(1, 1))
    assert draw_size(item, (200, 200), same, rng) == (40, 60)
    assert draw_size(item, (200, 200), Rules(scale=(1, 1), size='pixels'), rng) == (20, 30)
    assert draw_size(item, (900, 900), same, rng) == (40, 60)  # at most twice as large
    assert draw_size(item, (40, 30), Rules(scale=(2, 2), size='pixels'), rng) == (16, 24)  # 0.8 of the width
    assert draw_size(item, (10, 10), same, rng) is None
    factors = [draw_size(item, (100, 100), Rules(scale=(0.5, 2)), rng)[0] / 20 for _ in range(500)]
    assert min(factors) >= 0.5 and max(factors) <= 2 and 0.4 < np.mean(np.array(factors) < 1) < 0.6
    for position in ('inside', 'like-source', 'anywhere'):
        rules = Rules(position=position)
        places = np.array([draw_place(item, (20, 30), (50, 80), False, rules, rng) for _ in range(500)])
        assert (places >= (0 if position != 'anywhere' else -15)).all()
        assert (places <= ([50, 30] if position != 'anywhere' else [80, 50])).all()
        spread = {'inside': (50, 30), 'anywhere': (79, 49)}.get(position)
        assert spread is None or (np.ptp(places, 0) >= np.array(spread) - 2).all()
    # the crop's centre was at a quarter of the width and 0.3 of the height
    places = [draw_place(item, (20, 20), (1000, 1000), False, Rules(position='like-source'), rng) for _ in range(500)]
    np.testing.assert_allclose(np.median(places, 0), [240, 290], atol=20)
    places = [draw_place(item, (20, 20), (1000, 1000), True, Rules(position='like-source'), rng) for _ in range(500)]
    np.testing.assert_allclose(np.median(places, 0), [740, 290], atol=20)


@pytest.mark.parametrize(
    'wrong',
    [{'count': (3, 2)}, {'scale': (0, 1)}, {'position': 'left'}, {'size': 'big'}, {'hide': 2}, {'feather': -1}],
)
def test_rules_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match='expected'):
        Rules(**wrong)
