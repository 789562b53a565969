import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_masks import random_masks

from solo_bg import Instances
from solo_bg.core import crops
from solo_bg.core.crops import Crops, Packed
from solo_bg.solo.to_image import ToImage


@given(st.integers(0, 1000), st.integers(0, 20), st.integers(0, 35))
@settings(max_examples=60, deadline=None)
def test_unpacked_is_what_was_packed(seed, height, width):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.5
    rows, columns = (slice(*sorted(rng.integers(0, side + 1, 2).tolist())) for side in mask.shape)
    packed = Packed.of(torch.from_numpy(mask))
    np.testing.assert_array_equal(packed.unpack(), mask)
    part = packed[rows, columns][1:, :-1]
    assert part.shape == mask[rows, columns][1:, :-1].shape and part.dtype == torch.bool
    np.testing.assert_array_equal(Crops([part]).to(torch.device('cpu'))[0], mask[rows, columns][1:, :-1])


def test_a_view_can_be_packed_and_shares_no_memory():
    dense = torch.rand(9, 21, generator=torch.Generator().manual_seed(0)) < 0.5
    expected = dense[2:7, 1:20].clone()
    packed = Packed.of(dense[2:7, 1:20])
    dense.logical_not_()
    assert torch.equal(packed.unpack(), expected)


def test_eight_pixels_take_a_byte():
    assert Packed.of(torch.ones(100, 81, dtype=torch.bool)).bits.untyped_storage().nbytes() == 1013


def test_only_large_masks_are_packed_and_share_one_block(rng):
    masks = [torch.from_numpy(rng.random((height, 1025)) < 0.5) for height in (1024, 1000, 1100)]
    shelf = crops.Shelf([mask.numel() for mask in masks], masks[0].device)
    held = [shelf.put(mask) for mask in masks]
    assert held[1] is masks[1] and all(map(torch.equal, Crops(held), masks))
    first, second = (crop.bits.untyped_storage() for crop in held[::2])
    assert first.data_ptr() == second.data_ptr() and first.nbytes() == 1024 * 1025 // 8 + -(-1100 * 1025 // 8)


@pytest.fixture
def both(rng):
    """The same instances with plain crops, and with every second one packed."""
    masks = torch.from_numpy(random_masks(rng, 16, 13, 19))
    plain = Instances(masks, torch.arange(16) % 3, torch.linspace(1, 0, 16), ('person', 'cat', 'dog'))
    held = [Packed.of(crop) if index % 2 else crop for index, crop in enumerate(plain.crops)]
    return plain, Instances.from_crops(plain.boxes, Crops(held), *rest(plain))


def rest(instances):
    return instances.size, instances.labels, instances.scores, instances.class_names


@pytest.mark.parametrize(
    'change',
    [
        lambda one: one,
        lambda one: one[[5, 1, 0, 1]],
        lambda one: one[3],
        lambda one: one.select(0.4, ['cat', 'dog']),
        lambda one: one.join(one[2:7]),
        lambda one: one.sort_by_area(),
        lambda one: one.to('cpu'),
        lambda one: one.grow(2),
    ],
)
def test_instances_of_packed_crops_are_those_of_plain_ones(both, change):
    plain, packed = map(change, both)
    assert any(isinstance(crop, Packed) for crop in packed.crops.held)  # nothing on the way has unpacked them
    assert torch.equal(packed.masks, plain.masks) and torch.equal(packed.owner_map, plain.owner_map)
    assert torch.equal(packed.boxes, plain.boxes) and torch.equal(packed.labels, plain.labels)
    assert torch.equal(packed.areas, plain.areas) and torch.equal(packed.foreground, plain.foreground)
    assert torch.equal(packed.centres.nan_to_num(-1), plain.centres.nan_to_num(-1))


def test_crops_read_as_a_sequence(both):
    plain, packed = (one.crops for one in both)
    assert len(packed) == 16 and all(map(torch.equal, packed, plain))
    assert torch.equal(packed[-1], plain[-1]) and all(map(torch.equal, packed[3:9:2], plain[3:9:2]))
    with pytest.raises(IndexError):
        packed[16]


def test_a_packed_crop_that_does_not_fit_its_box_is_refused(both):
    plain, packed = both
    with pytest.raises(ValueError, match='does not fit the box'):
        Instances.from_crops(plain.boxes, packed.crops[::-1], *rest(plain))


def test_large_masks_leave_the_decoder_packed(monkeypatch):
    soft = torch.rand(4, 13, 17, generator=torch.Generator().manual_seed(0))
    soft[2] = 0.0
    soft[3, :, 6:] = 0.0
    to_image = ToImage((13, 17), (52, 68), (70, 90), soft.device)
    boxes, plain = to_image(soft, 0.5)
    monkeypatch.setattr(crops, 'PACKED_FROM', 3000)
    again, packed = to_image(soft, 0.5)
    assert torch.equal(again, boxes) and all(map(torch.equal, packed, plain))
    assert [isinstance(crop, Packed) for crop in packed.held] == [True, True, False, False]
