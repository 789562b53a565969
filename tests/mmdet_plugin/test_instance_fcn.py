import math

import pytest
import torch
from small_families import small_model

from solo_bg.mmdet_plugin.assembling import assemble
from solo_bg.mmdet_plugin.instance_fcn import InstanceFCNHead


@pytest.mark.parametrize(('parts', 'window'), [(5, 21), (3, 9), (1, 7), (7, 7)])
def test_assembling_is_its_definition(parts, window):
    torch.manual_seed(0)
    maps = torch.randn(parts**2, 11, 13)
    centres = torch.tensor([[0, 0], [5, 6], [10, 12], [2, 11]])
    found = assemble(maps, centres, parts, window)
    for one, (row, column) in zip(found, centres.tolist(), strict=True):
        for y in range(window):
            for x in range(window):
                at_y, at_x = row + y - window // 2, column + x - window // 2
                part = math.floor(y / (window / parts)) * parts + math.floor(x / (window / parts))
                inside = 0 <= at_y < 11 and 0 <= at_x < 13
                assert one[y, x] == (maps[part, at_y, at_x] if inside else 0)


def example(samples=256):
    """A head with windows of 88 pixels, which fit objects of 50; an image of 80 x 96 with one that fits, one larger."""
    torch.manual_seed(0)
    head = InstanceFCNHead(2, 4, parts=3, window=11, samples=samples)
    maps = torch.randn(9, 10, 12, dtype=torch.float64, requires_grad=True)
    objectness = torch.randn(10, 12, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[24.0, 16, 72, 56], [0, 0, 300, 300]], dtype=torch.float64)
    masks = torch.zeros(2, 10, 12, dtype=torch.bool)
    masks[0, 2:7, 3:9] = torch.rand(5, 6) > 0.3
    crowds = torch.zeros(10, 12, dtype=torch.bool)
    crowds[9] = True
    return head, maps, objectness, boxes, masks, crowds


def test_the_losses_are_their_formulas():
    """With so few windows that all are used."""
    head, maps, objectness, boxes, masks, crowds = example()
    scores, pixels = [], []
    for row in range(10):
        for column in range(12):
            x, y, logit = 8 * column + 4, 8 * row + 4, objectness[row, column].item()
            shift = max(abs(48 - x), abs(36 - y)) * 224 / 88
            if shift <= 16:  # the object has 48 pixels, which is 2^-0.07 of what a window fits
                scores.append(math.log(1 + math.exp(-logit)))
                window = assemble(maps.detach(), torch.tensor([[row, column]]), 3, 11)[0]
                for dy in range(-5, 6):
                    for dx in range(-5, 6):
                        if 0 <= row + dy < 10 and 0 <= column + dx < 12:
                            m = 1 if masks[0, row + dy, column + dx] else -1
                            pixels.append(math.log(1 + math.exp(-m * window[dy + 5, dx + 5].item())))
            elif shift >= 32 and row < 9:
                scores.append(math.log(1 + math.exp(logit)))
    score_loss, mask_loss = head.loss(maps, objectness, boxes, masks, crowds)
    assert len(pixels) > 100 and 30 < len(scores) < 108
    assert score_loss.item() == pytest.approx(sum(scores) / len(scores))
    assert mask_loss.item() == pytest.approx(sum(pixels) / len(pixels))


def test_the_gradients_of_the_losses():
    head, maps, objectness, *truth = example(samples=8)

    def losses(*logits):
        torch.manual_seed(1)  # the same windows each time
        return head.loss(*logits, *truth)

    assert torch.autograd.gradcheck(losses, (maps, objectness), fast_mode=True)


@pytest.mark.parametrize('samples', [4, 20, 256])
def test_half_of_the_windows_are_positive_if_there_are_so_many(samples):
    """Their number shows in the gradient, as each of them has one logit of objectness."""
    head, maps, objectness, *truth = example(samples)
    head.loss(maps, objectness, *truth)[0].backward()
    positive, negative = (objectness.grad < 0).sum().item(), (objectness.grad > 0).sum().item()
    assert positive == min(samples // 2, 2) and negative == min(samples - positive, 96)


def test_an_image_without_fitting_objects_teaches_objectness_alone():
    head, maps, objectness, boxes, masks, crowds = example()
    for some in (slice(0, 0), slice(1, 2)):
        score_loss, mask_loss = head.loss(maps, objectness, boxes[some], masks[some], crowds)
        assert score_loss > 0 and mask_loss == 0
        (score_loss + mask_loss).backward()
    everywhere = head.loss(maps, objectness, boxes[:0], masks[:0], torch.ones_like(crowds))
    assert [loss.item() for loss in everywhere] == [0, 0]


def test_scales():
    model = small_model(
        'instancefcn_r18', **{'model.test_cfg.shorter_sides': [600 * 1.5**step for step in range(-4, 2)]}
    )
    assert [size[1] for size in model.sizes((480, 320))] == [119, 178, 267, 400, 600, 900]
    assert model.sizes((10, 4000))[-1] == (4, 1600)
    assert model.sizes((1, 1))[0] == (119, 119)


def test_a_window_is_centred_on_each_feature():
    model = small_model('instancefcn_r18')
    with torch.no_grad():
        level = model.level(torch.randn(1, 3, 20, 33))
    assert level.windows.shape == (3 * 5, 4)
    assert level.windows[0].tolist() == [-80, -80, 88, 88] and level.windows[7].tolist() == [-64, -72, 104, 96]
    assert level.masks(torch.tensor([3, 0])).shape == (2, 21, 21)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: InstanceFCNHead(8, window=20), 'window must be odd and at least as large as parts, got 20 and 5'),
        (
            lambda: small_model('instancefcn_r18', **{'model.backbone.strides': (1, 2, 2, 1)}).level(
                torch.zeros(1, 3, 40, 40)
            ),
            'those of stride 8',
        ),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
