import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_bg.solo import decode


class Given:
    """Soft masks that are there already."""

    def __init__(self, soft):
        self.soft = soft

    def __len__(self):
        return len(self.soft)

    def __call__(self, rows):
        return self.soft[rows]


def soft_masks(seed, count=6, height=13, width=17):
    generator = torch.Generator().manual_seed(seed)
    return F.avg_pool2d(torch.rand(1, count, height, width, generator=generator), 3, 1, 1)[0] * 1.2


@pytest.mark.parametrize('chunk', [1, 300, 10_000])
def test_measure_and_render(chunk, monkeypatch):
    monkeypatch.setitem(decode.CHUNK, 'cpu', chunk)
    soft = soft_masks(0)
    parts = [Given(soft[:4]), Given(soft[4:])]
    measured = decode.measure(parts, (13, 17), 0.5, soft.device)
    for index, one in enumerate(soft.numpy().astype(np.float64)):
        mask = one > 0.5
        np.testing.assert_array_equal(measured.masks[index].reshape(13, 17), mask)
        assert measured.areas[index] == mask.sum()
        assert measured.maskness[index] == pytest.approx(one[mask].mean(), rel=1e-5)
    rows = torch.tensor([5, 0, 3, 4, 0])
    assert torch.equal(decode.render(parts, rows, (13, 17)), soft[rows])


def test_an_empty_mask_has_no_maskness():
    measured = decode.measure([Given(torch.zeros(1, 13, 17))], (13, 17), 0.5, torch.device('cpu'))
    assert measured.maskness.tolist() == [0] and measured.areas.tolist() == [0]


def test_what_is_not_a_number_stays_so():
    soft = soft_masks(0)
    soft[2, 3, 3] = torch.nan
    maskness = decode.measure([Given(soft)], (13, 17), 0.5, soft.device).maskness
    assert maskness.isnan().tolist() == [False, False, True, False, False, False]


def brute_force_nms(masks, labels, kernel, sigma):
    """Equation by equation, pair by pair: decay_j = min_i f(iou_ij) / f(max_k<i iou_ki), same labels only."""
    count = len(masks)

    def iou(i, j):
        either = (masks[i] | masks[j]).sum()
        return (masks[i] & masks[j]).sum() / either if labels[i] == labels[j] else 0.0

    def f(value):
        return np.exp(-sigma * value**2) if kernel == 'gaussian' else 1 - value

    covered = [max([iou(k, i) for k in range(i)], default=0.0) for i in range(count)]
    return [
        min([f(iou(i, j)) / f(covered[i]) for i in range(j) if f(covered[i])], default=1.0) if j else 1.0
        for j in range(count)
    ]


@given(st.integers(0, 1000), st.sampled_from(['gaussian', 'linear']), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_matrix_nms(seed, kernel, count):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:20, :20]
    masks = np.stack(
        [np.hypot(y - rng.uniform(4, 16), x - rng.uniform(4, 16)) < rng.uniform(2, 8) for _ in range(count)]
    )
    labels = rng.integers(0, 3, count)
    order = rng.permutation(count)  # where each candidate's mask is
    flat = torch.from_numpy(masks[np.argsort(order)].reshape(count, -1))
    rows, measured = torch.from_numpy(order), decode.Measured(flat, flat.sum(1).float(), None)
    factors = decode.matrix_nms(measured, rows, torch.from_numpy(labels), kernel, 2.0)
    np.testing.assert_allclose(factors, brute_force_nms(masks, labels, kernel, 2.0), rtol=1e-5, atol=1e-6)


def test_a_mask_that_repeats_another_is_decayed_to_nothing_by_the_linear_kernel():
    measured = decode.Measured(torch.ones(1, 50, dtype=torch.bool), torch.full((1,), 50.0), None)
    factors = decode.matrix_nms(measured, torch.zeros(3).long(), torch.zeros(3).long(), 'linear', 2.0)
    assert factors.tolist() == [1.0, 0.0, 0.0]


def test_other_kernels_are_refused():
    with pytest.raises(NotImplementedError, match='gaussian and linear'):
        decode.matrix_nms(None, torch.zeros(1).long(), torch.zeros(1).long(), 'cubic', 1.0)
