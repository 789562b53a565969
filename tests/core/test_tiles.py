"""Instances across the seams of tiles: the pieces of known masks give these masks back."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import label as components

from solo_bg import Instances
from solo_bg.core import pieces, tiles, whole_view
from solo_bg.core.crops import Packed
from solo_bg.core.masks import resize_masks

SIZE = (150, 210)


def instances(masks, labels=None, scores=None):
    masks = torch.as_tensor(np.asarray(masks), dtype=torch.bool)
    labels = torch.zeros(len(masks)) if labels is None else torch.tensor(labels)
    scores = torch.linspace(0.9, 0.5, len(masks)) if scores is None else torch.tensor(scores)
    return Instances(masks, labels.long(), scores, ('a', 'b'))


def seen_in(masks, grid, labels=None, parts=False):
    """What a perfect model finds in each tile: every mask's part of it, or every connected part by itself."""
    found = []
    for number, (x0, y0, x1, y1) in enumerate(grid):
        seen, names = [], []
        for row, mask in enumerate(masks):
            cut = mask[y0:y1, x0:x1]
            numbered, count = components(cut, np.ones((3, 3))) if parts else (cut, int(cut.any()))
            for part in range(1, count + 1):
                seen.append(numbered == part)
                names.append(labels[row] if labels else 0)
        if seen:
            scores = [0.5 + 0.01 * (number % 7) + 0.001 * row for row in range(len(seen))]
            found += pieces.pieces_of(instances(seen, names, scores), (x0, y0, x1, y1))
    return found


def joined(masks, side, overlap, **options):
    grid = tiles.grid(SIZE, side, overlap)
    return together(seen_in(masks, grid, **options))


def together(found, edge=4):
    """One piece for each object."""
    return pieces.without_duplicates(tiles.join(found, SIZE, edge), pieces.share_in)


def as_masks(found, size=SIZE):
    return [piece.mask_in((0, 0, size[1], size[0])).numpy() for piece in found]


def ellipse(x, y, width, height, size=SIZE):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1


def equal_sets(found, expected):
    return sorted(mask.tobytes() for mask in found) == sorted(mask.tobytes() for mask in expected)


@pytest.mark.parametrize('size', [(1, 1), (150, 210), (64, 500), (999, 70), (65, 65)])
@pytest.mark.parametrize(('side', 'overlap'), [(64, 16), (64, 32), (100, 17)])
def test_the_tiles_cover_the_image_and_overlap(size, side, overlap):
    grid = tiles.grid(size, side, overlap)
    seen = np.zeros(size, int)
    for x0, y0, x1, y1 in grid:
        assert (x1 - x0, y1 - y0) == (min(side, size[1]), min(side, size[0]))
        seen[y0:y1, x0:x1] += 1
    assert seen.all()
    for column in (0, 1):
        starts = sorted({tile[column] for tile in grid})
        assert all(after - before <= side - overlap for before, after in pairwise(starts))


def test_an_object_across_four_tiles_is_one():
    mask = ellipse(105, 75, 60, 50)
    grid = tiles.grid(SIZE, 120, 24)
    assert len(grid) == 4 and all(mask[y0:y1, x0:x1].any() for x0, y0, x1, y1 in grid)
    (one,) = joined([mask], 120, 24)
    np.testing.assert_array_equal(as_masks([one])[0], mask)
    cut = seen_in([mask], grid)
    assert not one.open and one.score == pytest.approx(
        np.average([0.5, 0.51, 0.52, 0.53], weights=[p.area for p in cut])
    )


@pytest.mark.parametrize(('side', 'overlap'), [(64, 16), (80, 20), (100, 30), (300, 20)])
def test_known_masks_come_back(rng, side, overlap):
    for _ in range(8):
        masks, taken = [], np.zeros(SIZE, bool)
        for _ in range(14):
            mask = ellipse(*rng.uniform(0, [210, 150]), *rng.uniform([4, 4], [50, 40])) & ~taken
            _, count = components(mask)
            if count == 1 and mask.sum() > 60:
                masks.append(mask)
                taken |= mask
        found = joined(masks, side, overlap)
        assert equal_sets(as_masks(found), masks)


def test_neighbours_that_touch_stay_two():
    left, right = np.zeros((2, *SIZE), bool)
    left[40:100, 20:105], right[40:100, 105:190] = True, True
    for side, overlap in ((80, 20), (100, 40), (120, 24)):  # they touch inside a tile and in a shared strip
        assert equal_sets(as_masks(joined([left, right], side, overlap)), [left, right])


def test_masks_that_do_not_agree_in_the_strip_are_not_joined():
    left, right = np.zeros((2, *SIZE), bool)
    left[40:100, 20:120], right[80:140, 90:190] = True, True  # a third of each lies in the other in the strip
    found = [*seen_in([left], [(0, 0, 120, 150)]), *seen_in([right], [(90, 0, 210, 150)])]
    assert equal_sets(as_masks(together(found)), [left, right])


def test_labels_are_kept_apart():
    mask = ellipse(105, 75, 60, 50)
    found = joined([mask, mask], 120, 24, labels=[0, 1])
    assert sorted(piece.label for piece in found) == [0, 1] and equal_sets(as_masks(found), [mask, mask])


def test_parts_that_meet_in_another_tile_are_one():
    horseshoe = np.zeros(SIZE, bool)
    horseshoe[20:40, 20:150] = horseshoe[110:130, 20:150] = horseshoe[20:130, 20:40] = True
    grid = tiles.grid(SIZE, 100, 40)
    assert max(components(horseshoe[y0:y1, x0:x1])[1] for x0, y0, x1, y1 in grid) == 1
    right = (100, 0, 210, 150)
    found = seen_in([horseshoe], [(0, 0, 130, 150), right], parts=True)
    assert len(found) == 3
    (one,) = tiles.join(found, SIZE, 4)
    np.testing.assert_array_equal(as_masks([one])[0], horseshoe)


def test_the_better_of_two_complete_views_stays_and_a_cut_one_goes():
    complete, worse = ellipse(100, 60, 14, 14), ellipse(100, 60, 12, 12)
    one, other = (60, 0, 125, 150), (80, 0, 210, 150)
    good = pieces.pieces_of(instances([complete[:, 60:125]], scores=[0.8]), one)
    bad = pieces.pieces_of(instances([worse[:, 80:210]], scores=[0.6]), other)
    (left,) = together([*good, *bad])
    np.testing.assert_array_equal(as_masks([left])[0], complete)
    cut = pieces.pieces_of(instances([complete[:, 60:100]], scores=[0.95]), (60, 0, 100, 150))
    (left,) = together([*cut, *bad])
    np.testing.assert_array_equal(as_masks([left])[0], worse)
    assert left.score == pytest.approx(0.6)


def test_views_that_show_an_object_incompletely_lose_to_the_tile_that_holds_it():
    """Two tiles that meet at a corner join what each of them cuts, and neither shows the object's upper left."""
    mask = np.zeros(SIZE, bool)
    mask[30:70, 30:70] = True
    upper, lower, whole = (0, 40, 60, 150), (40, 0, 210, 60), (0, 0, 120, 120)
    found = [
        pieces.pieces_of(instances([mask[y0:y1, x0:x1]], scores=[score]), (x0, y0, x1, y1))
        for (x0, y0, x1, y1), score in ((upper, 0.9), (lower, 0.9), (whole, 0.5))
    ]
    every = tiles.join([piece for tile in found for piece in tile], SIZE, 4)
    assert sorted(piece.open for piece in every) == [False, True]
    np.testing.assert_array_equal(as_masks(pieces.without_duplicates(every, pieces.share_in))[0], mask)


def test_half_of_a_mask_in_better_ones_makes_a_duplicate():
    def strip(first, end, score, label=0):
        mask = np.zeros(SIZE, bool)
        mask[:10, first:end] = True
        return pieces.pieces_of(instances([mask], [label], [score]), (0, 0, 210, 150))[0]

    def stay(*found):
        return [piece.score for piece in pieces.without_duplicates(found, lambda a, b: round(pieces.share_in(a, b), 3))]

    half, rest = strip(0, 10, 0.75), strip(10, 20, 0.5)
    assert stay(strip(0, 20, 0.25), half) == [0.75]  # half of it is covered
    assert stay(strip(0, 21, 0.25), half) == [0.75, 0.25]
    assert stay(strip(0, 30, 0.25), half, rest) == [0.75, 0.5]  # by two together
    assert stay(strip(0, 20, 0.875), half, rest) == [0.875]
    assert stay(strip(0, 20, 0.25, label=1), half) == [0.75, 0.25]
    (one,) = pieces.distinct([strip(0, 20, 0.25), half])
    assert one.score == 0.75 and pieces.distinct([]) == []


def test_a_piece_whose_rest_nobody_found_is_open():
    mask = ellipse(105, 75, 60, 50)
    grid = tiles.grid(SIZE, 120, 24)
    found = seen_in([mask], grid)
    (one,) = tiles.join(found[:1], SIZE, 4)
    assert one.open
    small = ellipse(30, 30, 10, 10)
    assert not any(piece.open for piece in joined([small, ellipse(0, 75, 20, 20)], 120, 24))


def test_large_pieces_are_packed():
    (one,) = joined([np.ones(SIZE, bool)], 120, 24)
    assert isinstance(one.crop, Packed)


@pytest.mark.parametrize('size', [(300, 420), (317, 411), (150, 210), (1000, 230)])
def test_enlarging_is_resizing(rng, size):
    for mask in (ellipse(105, 75, 60, 50), ellipse(0, 150, 30, 20), ellipse(209, 0, 3, 90), np.ones(SIZE, bool)):
        known = instances([mask])
        own = whole_view.Small(known.host_boxes[0], known.crops[0], int(mask.sum()))
        box, crop = whole_view.enlarged(own, SIZE, size)
        found = as_masks([pieces.Piece((0, 0, 0, 0), box, crop, 0, 0.5)], size)[0]
        expected = resize_masks(torch.from_numpy(mask)[None], size)[0].numpy()
        assert (found != expected).mean() < 1e-3
        rows, columns = np.nonzero(found)
        assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def whole_of(masks, scores, factor=2):
    return instances([mask[::factor, ::factor] for mask in masks], scores=scores)


def brought_together(found, masks, scores):
    return whole_view.add_whole(found, whole_of(masks, scores), SIZE)


def test_the_whole_view_adds_what_tiles_cannot_show_and_no_duplicates():
    large, small = ellipse(100, 75, 95, 70), ellipse(30, 10, 9, 8)
    complete = seen_in([small], [(0, 0, 60, 60)])
    found = brought_together(complete, [large, small], [0.8, 0.9])
    masks = as_masks(found)
    assert len(found) == 2 and (masks[0] == small).all() and found[0].score == pytest.approx(0.5)  # edges of the tile
    assert (masks[1] & large).sum() / (masks[1] | large).sum() > 0.97
    assert [piece.score for piece in brought_together(complete, [small], [0.9])] == pytest.approx([0.5])


def test_cut_parts_of_a_large_object_give_way_to_it():
    large = ellipse(100, 75, 95, 70)
    parts = tiles.join(seen_in([large], [(0, 0, 70, 150), (140, 0, 210, 150)]), SIZE, 4)
    assert all(piece.open for piece in parts) and len(parts) == 2
    (one,) = brought_together(parts, [large], [0.4])
    assert one.score == pytest.approx(0.4)
    assert len(brought_together(parts, [large], [0.2])) == 2  # too doubtful to replace them
    mask = as_masks([one])[0]
    assert (mask & large).sum() / (mask | large).sum() > 0.97


def test_a_blob_of_several_objects_gives_way_to_them_and_a_part_to_its_object():
    first, second = ellipse(60, 75, 20, 30), ellipse(100, 75, 20, 30)
    blob = first | second | ellipse(80, 75, 15, 10)
    both = seen_in([first, second], [(0, 0, 210, 150)])
    assert equal_sets(as_masks(brought_together(both, [blob], [0.95])), [first, second])
    weak = [replace(piece, score=0.1) for piece in both]
    assert len(brought_together(weak, [blob], [0.9])) == 1
    (part,) = seen_in([ellipse(60, 60, 8, 8)], [(0, 0, 210, 150)])
    assert len(brought_together([replace(part, score=0.4)], [first], [0.9])) == 1
    assert len(brought_together([part], [first], [0.9])) == 2  # more than half the score, so perhaps no part of it


def test_as_instances():
    known = [ellipse(30, 30, 20, 10), ellipse(150, 100, 30, 40)]
    found = pieces.instances_of(joined(known, 80, 20), SIZE, ('a', 'b'))
    assert found.size == SIZE and found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert equal_sets(found.masks.numpy(), known)
    assert len(pieces.instances_of([], SIZE, ('a',))) == 0
