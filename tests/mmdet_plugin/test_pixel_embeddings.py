import itertools
import math

import numpy as np
import pytest
import torch
from small_cascades import annotated, best_ious, found_in, losses_of, overfit, sample_of, scenes, small_model

from solo_bg.mmdet_plugin.embedding_loss import (
    BACKGROUND,
    NOT_COUNTED,
    choose_samples,
    class_loss,
    owners_of,
    pair_loss,
    seed_labels,
    similarity,
)
from solo_bg.mmdet_plugin.pixel_embeddings import EmbeddingHead
from solo_bg.mmdet_plugin.seeds import choose_seeds, distinct, signed

THRESHOLDS = (0.25, 0.5, 0.75, 0.9)
NOTHING = np.zeros((0, 64, 96), bool)


def alike(p, q):
    return 2 / (1 + math.exp(((np.asarray(p, float) - np.asarray(q, float)) ** 2).sum()))


def test_similarity_is_the_papers():
    squared = torch.tensor([0.0, 0.5, 2.0, 100.0])
    torch.testing.assert_close(similarity(squared), torch.tensor([2 / (1 + math.exp(one)) for one in squared.tolist()]))
    assert similarity(torch.zeros(1)) == 1


def test_the_loss_of_pairs_is_the_papers():
    rng = np.random.default_rng(0)
    embeddings, owners = rng.normal(0, 0.6, (9, 3)), [1, 1, 1, 1, 2, 2, 0, 0, 3]
    total = weights = 0.0
    for p, q in itertools.permutations(range(9), 2):
        if owners[p] == owners[q] == 0:
            continue
        weight = 1 / (owners.count(owners[p]) * owners.count(owners[q]))
        value = alike(embeddings[p], embeddings[q])
        total -= weight * math.log(value if owners[p] == owners[q] else 1 - value)
        weights += weight
    found = pair_loss(torch.from_numpy(embeddings), torch.tensor(owners))
    assert found.item() == pytest.approx(total / weights, rel=1e-9)


def test_the_gradients_of_the_losses():
    torch.manual_seed(0)
    embeddings = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda one: pair_loss(one, torch.tensor([1, 1, 2, 2, 0, 0, 3])), embeddings)
    logits = torch.randn(4, 3, 2, 5, dtype=torch.float64, requires_grad=True)
    seeds, wanted = torch.tensor([0, 3, 9]), torch.randint(0, 3, (3, 4))
    assert torch.autograd.gradcheck(lambda one: class_loss(one, seeds, wanted), logits)


def test_equal_embeddings_of_different_instances_have_a_finite_loss_and_gradient():
    embeddings = torch.zeros(4, 3, requires_grad=True)
    loss = pair_loss(embeddings, torch.tensor([1, 1, 2, 0]))
    loss.backward()
    assert loss.isfinite() and embeddings.grad.isfinite().all()
    only_background = pair_loss(embeddings, torch.zeros(4, dtype=torch.int64))
    assert only_background == 0


def test_the_loss_of_classes_is_the_papers():
    torch.manual_seed(0)
    logits, seeds, wanted = torch.randn(4, 3, 2, 5), [0, 3, 9], torch.randint(0, 3, (3, 4))
    expected = 0.0
    for row, seed in enumerate(seeds):
        for level in range(4):
            scores = logits[level, :, seed // 5, seed % 5].double().exp()
            expected -= math.log(scores[wanted[row, level]] / scores.sum())
    found = class_loss(logits, torch.tensor(seeds), wanted)
    assert found.item() == pytest.approx(expected / 3, rel=1e-5)


def test_the_class_of_a_seed_is_that_of_the_object_its_mask_covers():
    """A slow reference: each seed, each threshold, each object, pixel by pixel."""
    rng = np.random.default_rng(1)
    owners = np.array([[1, 1, 1, 0, 0, 2], [1, 1, 1, 0, -1, 2], [0, 0, 0, 0, -1, 2]])
    centres = np.array([[0.0, 3.0], [0, 0], [2, 2], [0, 3.0]])  # of owners 0, 1, 2 and of what does not count
    embeddings = centres[owners] + rng.normal(0, 0.4, (3, 6, 2))
    labels, seeds = [4, 2], [0, 3, 5, 8, 17]
    expected = []
    for seed in seeds:
        start = embeddings.reshape(-1, 2)[seed]
        of_seed = []
        for threshold in THRESHOLDS:
            grown = {
                (y, x)
                for y, x in itertools.product(range(3), range(6))
                if owners[y, x] >= 0 and alike(start, embeddings[y, x]) >= threshold
            }
            label = 7
            for row in range(2):
                pixels = set(zip(*(owners == row + 1).nonzero(), strict=True))
                if len(grown & pixels) / len(grown | pixels) > 0.5:
                    label = labels[row]
            of_seed.append(label)
        expected.append(of_seed)
    embedding = torch.from_numpy(embeddings).permute(2, 0, 1)
    found = seed_labels(embedding, torch.from_numpy(owners), torch.tensor(seeds), torch.tensor(labels), THRESHOLDS, 7)
    assert found.tolist() == expected
    assert len({label for row in expected for label in row}) == 3
    none = seed_labels(embedding, torch.zeros(3, 6).long(), torch.tensor(seeds), torch.zeros(0).long(), THRESHOLDS, 7)
    assert none.tolist() == [[7] * 4] * 5


def test_owners_of_pixels():
    masks, crowds = np.zeros((2, 10, 12), bool), np.zeros((1, 10, 12), bool)
    masks[0, :4, :6], masks[1, 4:6, :4], crowds[0, :, 6:] = True, True, True
    masks[1, 0, 0] = True  # a pixel of the first instance: it covers more of the feature's pixel
    found = owners_of(annotated(masks).masks, annotated(crowds).masks, (10, 12), (16, 16), (4, 4), torch.device('cpu'))
    assert found.tolist() == [
        [1, 1, NOT_COUNTED, NOT_COUNTED],
        [2, NOT_COUNTED, NOT_COUNTED, NOT_COUNTED],
        [BACKGROUND, BACKGROUND, NOT_COUNTED, NOT_COUNTED],
        [NOT_COUNTED] * 4,
    ]


def test_samples_are_of_every_owner():
    torch.manual_seed(0)
    owners = torch.tensor([[0, 0, 0, 0], [1, 1, 1, -1], [2, -1, -1, -1]])
    chosen = choose_samples(owners, 2)
    assert sorted(owners.flatten()[chosen].tolist()) == [0, 0, 1, 1, 2] and len(chosen.unique()) == 5
    assert choose_samples(torch.full((3, 3), NOT_COUNTED), 2).tolist() == []


@pytest.mark.parametrize('alpha', [0.0, 0.3, 2.0])
def test_seeds_are_chosen_as_the_paper_says(alpha):
    rng = np.random.default_rng(2)
    embedding, seediness = rng.normal(0, 0.7, (3, 40)), rng.random(40)
    chosen = []
    while len(chosen) < 6:
        gains = {}
        for p in range(40):
            if p not in chosen and seediness[p] > 0.2:
                distance = 1 - max((alike(embedding[:, p], embedding[:, q]) for q in chosen), default=0)
                gains[p] = math.log(seediness[p]) + alpha * math.log(distance)
        chosen.append(max(gains, key=gains.get))
    found = choose_seeds(torch.from_numpy(embedding), torch.from_numpy(seediness), 6, alpha, 0.2)
    assert found.tolist() == chosen


def test_seeds_end_where_no_pixel_is_left():
    embedding, seediness = torch.zeros(3, 5), torch.tensor([0.1, 0.9, 0.9, 0.3, 0.0])
    assert choose_seeds(embedding, seediness, 10, 0.3, 0.2).tolist() == [1]  # the others have no distance to it
    assert choose_seeds(embedding, seediness, 10, 0.3, 1.0).tolist() == []


def test_masks_that_repeat_better_ones_are_left_out():
    masks = torch.zeros(4, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, :3], masks[2, 3:], masks[3, 3:, 1:] = True, True, True, True
    assert distinct(masks, 0.5).tolist() == [0, 2]  # IoU 2/3 with the first, 3/4 with the third
    assert distinct(masks, 0.7).tolist() == [0, 1, 2]
    assert distinct(masks[:0], 0.5).tolist() == []


META = {'img_shape': (24, 30), 'batch_input_shape': (32, 32), 'ori_shape': (24, 30)}


def test_seeds_masks_classes_and_scores_are_those_of_a_slow_reference():
    torch.manual_seed(0)
    head = EmbeddingHead(2, [4], test_cfg=small_model('embeddings_r18').mask_head.test_cfg)
    head.test_cfg.iou_thr = 1.0  # keeps everything
    embedding, logits = torch.randn(3, 8, 8) * 0.8, torch.randn(4, 3, 8, 8) * 2
    seeds = head.find_seeds(embedding, logits, META)
    scores = logits.double().exp().numpy()
    scores = (scores / scores.sum(1, keepdims=True))[
        :, :2, :6
    ]  # 24 of 32 rows, and all columns: 30 pixels reach the last
    of_pixel = scores.reshape(8, 48).max(0)
    order = choose_seeds(embedding[:, :6].flatten(1), torch.from_numpy(of_pixel), 20, 0.3, 0.05).tolist()
    assert set(seeds.positions.tolist()) == set(order) and len(order) == 20
    assert (seeds.scores.diff() <= 0).all()
    for position, soft, label, score in zip(*(one.tolist() for one in seeds), strict=True):
        y, x = divmod(position, 8)
        level, own = np.unravel_index(scores[:, :, y, x].argmax(), (4, 2))
        assert label == own and score == pytest.approx(of_pixel[position], rel=1e-5)
        for row, column in itertools.product(range(8), range(8)):
            value = alike(embedding[:, y, x].numpy(), embedding[:, row, column].numpy()) - THRESHOLDS[level]
            value /= 1 - THRESHOLDS[level] if value >= 0 else THRESHOLDS[level]
            assert soft[row][column] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize('threshold', THRESHOLDS)
def test_an_enlarged_mask_ends_half_way_between_pixels_whatever_the_threshold(threshold):
    alike_to_seed = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    soft = signed(alike_to_seed, torch.tensor(threshold))
    enlarged = torch.nn.functional.interpolate(soft[None], 24, mode='linear', align_corners=False)[0, 0]
    assert (enlarged >= 0).tolist() == [True] * 12 + [False] * 12


def test_masks_reach_the_image():
    """Two halves of one embedding each, at an image of twice the input's size."""
    head = EmbeddingHead(2, [4], test_cfg=small_model('embeddings_r18').mask_head.test_cfg)
    embedding, logits = torch.zeros(3, 8, 8), torch.full((4, 3, 8, 8), -5.0)
    embedding[:, :, 4:] = 3
    logits[1, 0, 2, 1], logits[3, 1, 2, 6], logits[:, 2] = 9, 8, 5
    found = head.find(embedding, logits, {**META, 'ori_shape': (48, 60)})
    assert found.size == (48, 60) and found.labels.tolist() == [0, 1] and (found.scores > 0.9).all()
    assert abs(found.boxes - torch.tensor([[0, 0, 32, 48], [32, 0, 60, 48]])).max() <= 4
    for mask, (x0, y0, x1, y1) in zip(found.masks, found.boxes.tolist(), strict=True):
        assert mask[y0:y1, x0:x1].all()
    logits[:, 2] = 50
    assert len(head.find(embedding, logits, META)) == 0


@pytest.mark.parametrize(
    ('images', 'samples'),
    [
        (scenes(1)[0], lambda: [sample_of(NOTHING)]),
        (scenes(1)[0], lambda: [sample_of(NOTHING, crowds=np.ones((1, 64, 96), bool))]),
        (scenes(1)[0], lambda: [sample_of(np.ones((1, 64, 96), bool))]),
        (
            [scenes(1)[0][0], scenes(1, 3, 5)[0][0]],
            lambda: [sample_of(scenes(1)[1][0]), sample_of(np.ones((1, 3, 5), bool))],
        ),
    ],
    ids=['no objects', 'a crowd alone', 'an object as large as the image', 'sizes mixed, one tiny'],
)
def test_awkward_batches_train(images, samples):
    model = small_model('embeddings_r18', **{'model.mask_head.ramp': 0}).train()
    loss, _ = model.parse_losses(losses_of(model, images, samples()))
    loss.backward()
    assert loss.isfinite() and all(one.grad.isfinite().all() for one in model.parameters() if one.grad is not None)


def test_the_weight_of_the_classes_rises_and_goes_on_after_a_resume():
    model = small_model('embeddings_r18', **{'model.mask_head.ramp': 2}).train()
    images, masks = scenes(1)
    first, second = (losses_of(model, images, [sample_of(masks[0])])['loss_class'] for _ in range(2))
    assert first == 0 and second > 0
    other = small_model('embeddings_r18')
    other.load_state_dict(model.state_dict())
    assert other.mask_head.steps == 2


def test_one_class():
    model = small_model('embeddings_r18', **{'model.mask_head.num_classes': 1})
    (found,) = found_in(model, scenes(1)[0])
    assert set(found.host_labels) <= {0}


@pytest.mark.parametrize('thresholds', [(), (0.5, 1.0)])
def test_thresholds_that_make_no_sense(thresholds):
    with pytest.raises(ValueError, match='thresholds must be numbers between 0 and 1'):
        EmbeddingHead(2, [4], thresholds=thresholds)


@pytest.mark.slow
def test_it_overfits_four_scenes():
    widths = {'backbone.base_channels': 16, 'mask_head.in_channels': [16, 32, 128], 'mask_head.channels': 32}
    widths |= {'mask_head.dimensions': 16}
    options = {f'model.{name}': value for name, value in {**widths, 'mask_head.ramp': 100}.items()}
    model, images, masks, labels = overfit('embeddings_r18', 500, 3e-3, **options)
    ious = [
        one for of_image in zip(found_in(model, images), masks, labels, strict=True) for one in best_ious(*of_image)
    ]
    assert len(ious) > 6 and np.mean(ious) > 0.8, ious
