import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_families import small_model
from torch import nn

from solo_bg.mmdet_plugin.deepmask import DeepMaskHead, deepmask_loss
from solo_bg.mmdet_plugin.triplets import CutTriplet, distant_window, fitting_window
from solo_bg.scenes import draw_scene


@pytest.fixture(scope='module')
def head():
    torch.manual_seed(0)
    return DeepMaskHead(3, feat_channels=4, rank=8, score_channels=(6, 8)).eval()


def one_window(head, features):
    """The definition on one window's features, (3, 14, 14): pooling and linear layers; its score and mask, in 0..1."""
    pooled = F.max_pool2d(features[None], 2).flatten()
    first, second, last = (head.score[index] for index in (1, 4, 7))
    hidden = F.relu(first.weight.flatten(1) @ pooled + first.bias)
    hidden = F.relu(second.weight.flatten(1) @ hidden + second.bias)
    score = last.weight.flatten(1) @ hidden + last.bias
    narrow = head.low_rank.weight.flatten(1) @ head.mask_features(features[None]).flatten() + head.low_rank.bias
    mask = head.mask_logits.weight @ narrow + head.mask_logits.bias
    return score.sigmoid()[0], mask.sigmoid().view(56, 56)


@torch.no_grad()
def test_the_dense_head_is_the_head_on_each_window(head):
    x = torch.randn(1, 3, 17, 16)
    scores, features = head(x)
    masks = head.masks_at(features, torch.arange(12))
    assert scores.shape == (1, 4, 3) and masks.shape == (12, 56, 56)
    for number, (row, column) in enumerate(itertools.product(range(4), range(3))):
        score, mask = one_window(head, x[0, :, row : row + 14, column : column + 14])
        torch.testing.assert_close(scores[0, row, column].sigmoid(), score, rtol=0, atol=1e-5)
        torch.testing.assert_close(masks[number], mask, rtol=0, atol=1e-5)


class Patches(nn.Module):
    """A trunk that sees 16 x 16 pixels at a time, so that an image's features are those of its windows."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 16, stride=16)

    def forward(self, x):
        return (self.conv(x).relu(),)


@pytest.fixture
def patches():
    model = small_model('deepmask_r18')
    model.backbone = Patches()
    return model


@torch.no_grad()
def test_an_image_is_seen_as_its_windows_one_by_one(patches):
    image = torch.randn(1, 3, 37, 50)
    level = patches.level(image)
    assert len(level.scores) == 3 * 4
    masks = level.masks(torch.arange(12))
    padded = F.pad(image, (300, 300, 300, 300))
    for window, score, mask in zip(level.windows.int().tolist(), level.scores, masks, strict=True):
        x0, y0, x1, y1 = window
        assert x1 - x0 == y1 - y0 == 224
        pixels = padded[..., 300 + y0 - 16 : 300 + y1 + 16, 300 + x0 - 16 : 300 + x1 + 16]
        alone, features = patches.mask_head(patches.features(pixels, (1, 1)))
        torch.testing.assert_close(score, alone.sigmoid()[0, 0, 0], rtol=0, atol=1e-5)
        torch.testing.assert_close(mask, patches.mask_head.masks(features).sigmoid()[0], rtol=0, atol=1e-5)


def test_scales_and_zoom():
    model = small_model('deepmask_r18', **{'model.test_cfg.scales': [2 ** (step / 2) for step in range(-4, 3)]})
    assert [size[0] for size in model.sizes((100, 400))] == [25, 35, 50, 71, 100, 141, 200]
    model.test_cfg.zoom = True
    assert [size[1] for size in model.sizes((100, 400))][-2:] == [800, 1131]
    assert model.sizes((1, 1))[0] == (1, 1)


def test_the_loss_is_the_papers():
    torch.manual_seed(0)
    masks, scores = torch.randn(2, 3, 4), torch.randn(4)
    target, positive = torch.rand(2, 3, 4) > 0.5, torch.tensor([True, False, True, False])
    mask_loss, score_loss = deepmask_loss(masks, target, scores, positive)
    expected, seen = 0.0, 0
    for y, f_score in zip([1, -1, 1, -1], scores.tolist(), strict=True):
        logistic = 0.0
        if y == 1:
            for m, f in zip(target[seen].flatten().tolist(), masks[seen].flatten().tolist(), strict=True):
                logistic += math.log(1 + math.exp(-(1 if m else -1) * f))
            seen += 1
        expected += (1 + y) / (2 * 3 * 4) * logistic + math.log(1 + math.exp(-y * f_score)) / 32
    assert (mask_loss + score_loss).item() == pytest.approx(expected, rel=1e-5)


def test_the_gradients_of_the_loss():
    torch.manual_seed(0)
    masks = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    scores = torch.randn(3, dtype=torch.float64, requires_grad=True)
    target, positive = torch.rand(2, 3, 4) > 0.5, torch.tensor([True, False, True])
    assert torch.autograd.gradcheck(
        lambda *logits: deepmask_loss(logits[0], target, logits[1], positive), (masks, scores)
    )


def test_positive_windows_are_within_the_bounds():
    np.random.seed(0)
    drawn = []
    for _ in range(500):
        x0, y0, x1, y1 = fitting_window([30, 20, 90, 50])  # 60 pixels, centre (60, 35)
        scale = 224 / (x1 - x0)
        drawn.append([60 * scale / 128, (60 - (x0 + x1) / 2) * scale, (35 - (y0 + y1) / 2) * scale])
        assert x0 <= 30 and y0 <= 20 and x1 >= 90 and y1 >= 50  # the object is fully inside
    factor, *shifts = np.array(drawn).T
    assert 2**-0.25 <= factor.min() < 0.86 and 1.16 < factor.max() <= 2**0.25
    for shift in shifts:
        assert -16 <= shift.min() < -15 and 15 < shift.max() <= 16


def test_negative_windows_are_away_from_all_objects(rng):
    np.random.seed(0)
    crowds = np.zeros((200, 300), bool)
    crowds[:, 150:] = True
    for count in (0, 1, 3, 10) * 30:
        boxes = np.sort(rng.uniform(0, 200, (count, 2, 2)), 1).reshape(-1, 4)
        x0, y0, x1, y1 = distant_window(torch.from_numpy(boxes), crowds)
        scale, x, y = 224 / (x1 - x0), (x0 + x1) / 2, (y0 + y1) / 2
        for left, top, right, bottom in boxes:
            factor = max(right - left, bottom - top) * scale / 128
            shift = max(abs((left + right) / 2 - x), abs((top + bottom) / 2 - y)) * scale
            assert shift >= 32 or factor >= 2 or factor <= 0.5
        assert x < 150


def test_where_no_window_of_a_similar_size_is_negative():
    """Objects of every size everywhere, and a crowd over it all: the window is so large that all are too small."""
    np.random.seed(0)
    boxes = [
        [x - r, y - r, x + r, y + r] for r in (2, 4, 8, 16, 32, 64) for x in range(0, 65, 2) for y in range(0, 65, 2)
    ]
    x0, _, x1, _ = distant_window(torch.tensor(boxes, dtype=torch.float64), np.ones((64, 64), bool))
    assert 128 * 224 / (x1 - x0) <= 64


def triplet(positive, masks, image, crowd=None):
    from mmdet.structures.mask import BitmapMasks

    boxes = [[*np.argwhere(mask.T).min(0), *(np.argwhere(mask.T).max(0) + 1)] for mask in masks]
    return CutTriplet(positive)(
        {
            'img': image,
            'gt_bboxes': np.array(boxes, np.float32).reshape(-1, 4),
            'gt_bboxes_labels': np.zeros(len(masks), np.int64),
            'gt_ignore_flags': np.zeros(len(masks), bool) if crowd is None else np.array(crowd),
            'gt_masks': BitmapMasks(masks.astype(np.uint8), *image.shape[:2]),
        }
    )


def test_a_positive_example_is_the_window_with_its_mask():
    np.random.seed(0)
    image, masks = draw_scene(3, 100, 140)
    image = np.where(masks[0][..., None], np.uint8(255), image // 2)
    found = triplet(1, masks[:1], image)
    assert found['img'].shape == (256, 256, 3) and found['img'].dtype == np.uint8
    (mask,) = found['gt_masks'].masks.astype(bool)
    assert ((found['img'].min(2) > 190) == mask).mean() > 0.99 and mask.any()
    rows, columns = mask.nonzero()
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    assert 128 * 2**-0.25 - 2 <= longer <= 128 * 2**0.25 + 2
    assert found['gt_bboxes'].tensor.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


def test_a_negative_example_has_no_instance():
    np.random.seed(0)
    image, masks = draw_scene(3, 100, 140)
    for masks_given, positive, crowd in ((masks, 0, None), (masks[:0], 1, None), (masks[:1], 1, [True])):
        found = triplet(positive, masks_given, image, crowd)
        assert found['img'].shape == (256, 256, 3)
        assert [len(found[key]) for key in found if key.startswith('gt_')] == [0] * 4


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: CutTriplet(1.5), 'positive must be a probability from 0 to 1, got 1.5'),
        (lambda: CutTriplet()({'img': np.zeros((9, 9, 3), np.uint8)}), 'put LoadAnnotations'),
        (
            lambda: small_model('deepmask_r18').loss(torch.zeros(1, 3, 64, 96), []),
            'windows of 256x256 pixels, got 96x64',
        ),
        (
            lambda: small_model('deepmask_r18', **{'model.backbone.strides': (1, 2, 1)}).level(torch.zeros(1, 3, 9, 9)),
            'those of stride 16',
        ),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_vgg_is_a_trunk_too():
    """mmdet has one for SSD, whose 30th layer ends VGG-16's last stage."""
    model = small_model(
        'deepmask_r18',
        **{
            'model.backbone': {
                **{'_delete_': True, 'type': 'SSDVGG', 'depth': 16, 'with_last_pool': False, 'ceil_mode': True},
                **{'out_indices': (4,), 'out_feature_indices': (29,)},
            },
            'model.mask_head.in_channels': 512,
        },
    )
    with torch.no_grad():
        assert model.level(torch.zeros(1, 3, 20, 40)).windows.shape == (6, 4)
