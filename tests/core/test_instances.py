import pytest
import torch
from conftest import CLASSES
from random_masks import random_masks

from solo_bg import Instances


@pytest.fixture
def five(rng):
    masks = torch.from_numpy(random_masks(rng, 5, 12, 16))
    scores = torch.tensor([0.2, 0.9, 0.3, 0.6, 0.5])
    return Instances(masks, torch.tensor([0, 1, 2, 1, 0]), scores, CLASSES)


def test_order_is_kept_and_never_sorted(five):
    assert five.scores.tolist() == pytest.approx([0.2, 0.9, 0.3, 0.6, 0.5])
    assert five.names == ['person', 'cat', 'dog', 'cat', 'person']
    assert five.count_by_class() == {'cat': 2, 'dog': 1, 'person': 2}


@pytest.mark.parametrize(
    'index', [2, -1, slice(1, 4), [4, 0, 0], [], torch.tensor([True, False, True, False, True]), torch.tensor([3, 1])]
)
def test_indexing_is_that_of_an_array(five, index):
    chosen = five[index]
    rows = torch.arange(5)[index if not isinstance(index, list) else torch.tensor(index).long()].reshape(-1)
    assert torch.equal(chosen.masks, five.masks[rows])
    assert torch.equal(chosen.labels, five.labels[rows])
    assert torch.equal(chosen.scores, five.scores[rows])
    assert torch.equal(chosen.boxes, five.boxes[rows])


def test_index_out_of_range_is_an_error(five):
    with pytest.raises(IndexError):
        five[5]


def test_select_is_strictly_above_the_threshold(five):
    assert five.select(score_thr=0.5).scores.tolist() == pytest.approx([0.9, 0.6])


def test_select_by_class(five):
    assert five.select(classes=['cat']).names == five.select(classes='cat').names == ['cat', 'cat']
    assert len(five.select(classes=[])) == 0
    with pytest.raises(ValueError, match='no class named horse; the classes are person, cat, dog'):
        five.select(classes=['horse'])


def test_sort_by_area_is_stable():
    masks = torch.zeros(4, 4, 4, dtype=torch.bool)
    masks[0, :2] = masks[2, 2:] = True  # equal areas
    masks[1, 0, 0] = True
    instances = Instances(masks, torch.arange(4), torch.ones(4))
    assert instances.sort_by_area().labels.tolist() == [3, 1, 0, 2]


def test_from_crops_equals_from_masks(five):
    again = Instances.from_crops(five.boxes, five.crops, five.size, five.labels, five.scores, CLASSES)
    assert torch.equal(again.masks, five.masks)
    assert torch.equal(again.owner_map, five.owner_map)
    assert torch.equal(again.centres.nan_to_num(-1), five.centres.nan_to_num(-1))


def test_empty():
    nothing = Instances.empty((3, 5), CLASSES)
    assert len(nothing) == 0
    assert nothing.masks.shape == (0, 3, 5) and nothing.masks.dtype == torch.bool
    assert nothing.labels.dtype == torch.int64 and nothing.scores.dtype == torch.float32
    assert nothing.boxes.shape == (0, 4)
    assert not nothing.union.any() and nothing.union.shape == (3, 5)
    assert len(nothing.select(0.3)) == 0 and nothing.count_by_class() == {}


@pytest.mark.parametrize(
    ('masks', 'labels', 'scores', 'message'),
    [
        (torch.zeros(2, 3, 3), [0, 0], [1.0, 1.0], 'masks must be bool'),
        (torch.zeros(3, 3, dtype=torch.bool), [0], [1.0], 'masks must be bool'),
        (torch.zeros(2, 3, 3, dtype=torch.bool), [0], [1.0, 1.0], 'need labels of shape'),
        (torch.zeros(2, 3, 3, dtype=torch.bool), [0, 0], [1.0], 'need scores of shape'),
        (torch.zeros(2, 3, 3, dtype=torch.bool), [0, 3], [1.0, 1.0], 'labels go from 0 to 3, 3 names'),
        (torch.zeros(2, 3, 3, dtype=torch.bool), [-1, 0], [1.0, 1.0], 'labels go from -1'),
        (torch.zeros(2, 3, 3, dtype=torch.bool), [0.5, 0.0], [1.0, 1.0], 'whole numbers'),
        (torch.zeros(2, 3, 3, dtype=torch.bool), [0, 0], [1.0, float('nan')], 'finite'),
    ],
)
def test_what_does_not_fit_is_refused(masks, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        Instances(masks, torch.tensor(labels), torch.tensor(scores), CLASSES)


def test_a_crop_that_does_not_fit_its_box_is_refused():
    with pytest.raises(ValueError, match='does not fit the box'):
        one = torch.ones(2, 2, dtype=torch.bool)
        Instances.from_crops(torch.tensor([[0, 0, 3, 2]]), [one], (4, 4), torch.tensor([0]), torch.tensor([1.0]))


@pytest.mark.gpu
def test_the_same_on_cuda(five):
    there = five.to('cuda')
    assert there.device.type == there.owner_map.device.type == 'cuda'
    assert torch.equal(there.owner_map.cpu(), five.owner_map)
    assert torch.equal(there.centres.cpu().nan_to_num(-1), five.centres.nan_to_num(-1))


def test_joined_instances_are_named_as_they_were(rng):
    masks = torch.from_numpy(random_masks(rng, 5, 9, 11))
    first = Instances(masks[:2], torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), ('cat', 'dog'))
    second = Instances(masks[2:], torch.tensor([1, 0, 2]), torch.ones(3), ('bird', 'cat', 'cow'))
    joined = first.join(second)
    assert joined.names == ['cat', 'dog', 'cat', 'bird', 'cow'] and joined.class_names == ('cat', 'dog', 'bird', 'cow')
    assert torch.equal(joined.masks, masks) and joined.scores.tolist() == pytest.approx([0.9, 0.8, 1, 1, 1])
    assert torch.equal(first.join(second[[]]).masks, masks[:2])
    with pytest.raises(ValueError, match='cannot be joined'):
        first.join(Instances.empty((9, 12)))


def test_labels_without_names_stay_numbers_beside_others():
    masks = torch.ones(2, 3, 4, dtype=torch.bool)
    bare = Instances(masks, torch.tensor([0, 7]), torch.ones(2))
    named = Instances(masks, torch.tensor([1, 0]), torch.ones(2), ('cat', 'dog'))
    assert bare.join(named).names == ['0', '7', 'dog', 'cat'] and named.join(bare).names == ['dog', 'cat', '0', '7']
    assert bare.join(bare).class_names == () and bare.join(bare).labels.tolist() == [0, 7, 0, 7]


def test_a_margin_grows_what_stays_and_nothing_else(rng):
    mask = torch.zeros(1, 9, 11, dtype=torch.bool)
    mask[0, 4, 5] = True
    instances = Instances(mask, torch.zeros(1).long(), torch.ones(1))
    grown = instances.grow(2)
    assert grown.foreground.sum() == 13 and instances.foreground.sum() == 1  # a disc of radius 2
    assert torch.equal(grown.union, instances.union) and torch.equal(grown.masks, mask)
    for same in (grown.select(), grown.sort_by_area(), grown.to('cpu')):
        assert same.foreground.sum() == 13
