"""Masks over the frames of a video, against a median of dense arrays."""

import numpy as np
import pytest
import torch

from solo_bg.core.instances import Instances
from solo_bg.core.steady import median, steady
from solo_bg.draw.compose import colourise, colours, labels


def instances_of(masks, names=None, alpha=None, scores=None):
    """Instances of bool (H, W) arrays; `names` choose among two classes."""
    dense = (
        torch.from_numpy(np.array(masks)).reshape(-1, *masks[0].shape) if len(masks) else torch.zeros(0, 20, 24).bool()
    )
    chosen = torch.tensor(names or [0] * len(masks), dtype=torch.int64)
    found = Instances(dense, chosen, torch.tensor(scores or [0.9] * len(masks)), ('cat', 'dog'))
    return found if alpha is None else found.with_alpha(torch.from_numpy(alpha))


def square(x, y=5, size=8):
    mask = np.zeros((20, 24), bool)
    mask[y : y + size, x : x + size] = True
    return mask


def run(frames, window):
    found = list(steady(enumerate(frames), window))
    assert [number for number, _ in found] == list(range(len(frames)))
    return [one for _, one in found]


def plain_median(masks, window):
    """The rule written plainly: a majority over the frames around, the ends repeated; bool (T, H, W)."""
    half = window // 2
    padded = np.concatenate([masks[:1]] * half + [masks] + [masks[-1:]] * half)
    return np.array([np.median(padded[index : index + window], 0) > 0.5 for index in range(len(masks))])


@pytest.mark.parametrize('window', [1, 3, 5, 7])
@pytest.mark.parametrize('count', [1, 2, 3, 8])
def test_one_instance_is_a_median_in_time(window, count, rng):
    masks = np.array([square(4 + index % 3) ^ (rng.random((20, 24)) < 0.1) for index in range(count)])
    found = run([instances_of([mask]) for mask in masks], window)
    expected = plain_median(masks, window)
    assert all(np.array_equal(one.union.numpy(), mask) for one, mask in zip(found, expected, strict=True))
    assert all(one.tracks == [0] for one in found)
    boxes = [Instances(one.masks, one.labels, one.scores).boxes for one in found]
    assert all(torch.equal(one.boxes, box) for one, box in zip(found, boxes, strict=True))


def test_instances_keep_their_numbers_and_colours_where_their_order_changes():
    left, right = [square(index) for index in range(6)], [square(14 - index) for index in range(6)]
    right = [np.roll(mask, 6, 0) for mask in right]
    frames = [instances_of([one, other], [0, 1]) for one, other in zip(left, right, strict=True)]
    frames[2], frames[4] = frames[2][[1, 0]], frames[4][[1, 0]]
    image = torch.full((20, 24, 3), 100, dtype=torch.uint8)
    for one, found in zip(left, run(frames, 3), strict=True):
        assert found.tracks == [0, 1] and found.names == ['cat', 'dog']
        assert np.array_equal(found.masks[0].numpy(), one)
        paint = colourise(image, found)
        assert torch.equal(
            paint[6, int(found.host_boxes[0][0]) + 1], (100 + colours(2)[0].int()).div(2).to(torch.uint8)
        )


def test_colours_and_labels_go_by_the_number_of_an_instance():
    found = instances_of([square(0), square(12)]).tracked([7, 2])
    image = torch.zeros(20, 24, 3, dtype=torch.uint8)
    assert torch.equal(colourise(image, found)[6, 1], colours(8)[7] // 2)
    assert torch.equal(colourise(image, found)[6, 13], colours(8)[2] // 2)
    drawn = labels(image, found).numpy()
    assert drawn.dtype == np.uint16 and set(np.unique(drawn)) == {0, 3, 8} and drawn[6, 1] == 8
    assert found[1].tracks == [2] and found[[1, 0]].tracks == [2, 7] and found.grow(1).tracks == [7, 2]


def test_gaps_are_filled_and_blips_are_left_out():
    frames = [instances_of([square(4), square(14, 10)][: 2 if index != 4 else 1]) for index in range(9)]
    frames[6] = instances_of([square(4), square(14, 10), square(0, 0, 3)])
    found = run(frames, 3)
    assert [one.tracks for one in found] == [[0, 1]] * 9
    assert all(np.array_equal(one.masks[1].numpy(), square(14, 10)) for one in found)
    assert [float(score) for score in found[4].scores] == pytest.approx([0.9, 0.9])


def test_classes_are_not_mixed():
    frames = [instances_of([square(4)], [index % 2]) for index in range(4)]
    assert [one.names for one in run(frames, 1)] == [['cat'], ['dog'], ['cat'], ['dog']]
    assert [one.tracks for one in run(frames, 1)] == [[0], [1], [2], [3]]
    assert [one.names for one in run(frames, 3)] == [['cat'], ['cat'], ['dog'], ['dog']]


@pytest.mark.parametrize('window', [3, 5])
def test_alpha_is_the_median(window, rng):
    alphas = rng.integers(0, 256, (7, 20, 24)).astype(np.uint8)
    alphas[:, 5:15, 5:15] |= 128  # so that the frames overlap
    frames = [instances_of([alpha > 127], alpha=alpha) for alpha in alphas]
    half = window // 2
    padded = np.concatenate([alphas[:1]] * half + [alphas] + [alphas[-1:]] * half)
    for index, one in enumerate(run(frames, window)):
        expected = np.median(padded[index : index + window], 0).astype(np.uint8)
        assert np.array_equal(one.alpha.numpy(), expected)
        assert np.array_equal(one.union.numpy(), expected > 127)


def test_frames_without_instances_and_of_other_sizes():
    nothing = Instances.empty((20, 24), ('cat', 'dog'))
    assert [len(one) for one in run([nothing] * 4, 3)] == [0] * 4
    assert run([], 3) == []
    large = Instances(torch.ones(1, 40, 48, dtype=torch.bool), torch.tensor([0]), torch.tensor([0.5]), ('cat', 'dog'))
    found = run([instances_of([square(3)])] * 3 + [large] * 3, 3)
    assert [one.size for one in found] == [(20, 24)] * 3 + [(40, 48)] * 3 and all(len(one) == 1 for one in found)


@pytest.mark.parametrize('count', [1, 3, 5, 9])
def test_the_median_is_torch_s(count, rng):
    stack = torch.from_numpy(rng.integers(0, 256, (count, 11, 13), dtype=np.uint8))
    assert torch.equal(median(list(stack)), stack.median(0).values)
