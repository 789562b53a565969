import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_cascades import best_ious, found_in, losses_of, overfit, sample_of, scenes, small_model

from solo_bg.mmdet_plugin.cascade_stages import Stage, to_rois
from solo_bg.mmdet_plugin.mask_voting import vote
from solo_bg.mmdet_plugin.roi_warping import paste_mean

NOTHING = np.zeros((0, 64, 96), bool)


@pytest.fixture(scope='module')
def model():
    return small_model('mnc_r18')


@pytest.fixture(scope='module')
def data(model):
    """A batch of two images for training: the features, what the RPN says, and the samples."""
    images, masks = scenes(2)
    samples = [sample_of(of_image, labels=[row % 2 for row in range(len(of_image))]) for of_image in masks]
    inputs = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    batch = model.data_preprocessor({'inputs': inputs, 'data_samples': samples}, True)
    features = model.extract_feat(batch['inputs'])
    return SimpleNamespace(features=features, outputs=model.rpn_head(features), samples=batch['data_samples'])


def metas_of(data):
    return [sample.metainfo for sample in data.samples]


def test_the_boxes_are_mmdets_and_carry_gradients(model, data):
    cfg = model.test_cfg.rpn
    found = model.rpn_head.boxes(data.outputs, metas_of(data), cfg)
    theirs = model.rpn_head.predict_by_feat(*data.outputs, batch_img_metas=metas_of(data), cfg=cfg)
    for own, other in zip(found, theirs, strict=True):
        assert len(own) == 15 and own.requires_grad and not other.bboxes.requires_grad
        torch.testing.assert_close(own, other.bboxes)


def test_later_stages_teach_earlier_ones_through_the_boxes(model, data):
    """Masks depend on the RPN's boxes and on the offsets of stage 3 only by where they are warped from."""
    torch.manual_seed(0)
    boxes = model.rpn_head.boxes(data.outputs, metas_of(data), model.train_cfg.rpn_proposal)
    losses = model.roi_head.loss(data.features[-1], boxes, data.samples)
    reached = [model.rpn_head.rpn_reg.weight, model.roi_head.bbox_head.regress.weight]
    for name, parts in (('loss_mask', reached[:1]), ('loss_mask_again', reached)):
        gradients = torch.autograd.grad(losses[name], parts, retain_graph=True, allow_unused=True)
        assert all(one is not None and (one != 0).any() and one.isfinite().all() for one in gradients)


def test_three_stages(model, data):
    three = small_model('mnc_r18', **{'model.roi_head.stages': 3})
    three.load_state_dict(model.state_dict())  # the stages share their weights
    boxes = model.rpn_head.boxes(data.outputs, metas_of(data), model.test_cfg.rpn)
    (only,) = three.roi_head.stages_of(data.features[-1], boxes, metas_of(data))
    first, second = model.roi_head.stages_of(data.features[-1], boxes, metas_of(data))
    for ours, theirs in zip(only, first, strict=True):
        assert torch.equal(ours, theirs)
    assert first.rois.shape == second.rois.shape and not torch.equal(first.rois, second.rois)
    assert set(three.roi_head.loss(data.features[-1], boxes, data.samples)) == {'loss_mask', 'loss_class', 'loss_box'}


def test_an_image_without_regions(model, data):
    """The RPN may find none in any image of a batch."""
    metas, nothing = metas_of(data), torch.zeros(0, 4)
    (found, *_) = model.roi_head.find(data.features[-1], [nothing] * len(metas), metas, False)
    assert len(found.scores) == 0 and len(found.masks) == 0


def test_the_box_is_moved_by_the_offsets_of_its_best_class(model):
    rois = torch.tensor([[0, 10.0, 20, 30, 60], [1, 5, 5, 15, 25]])
    classes = torch.tensor([[0.0, 1, 9], [3, 2, 9]])  # background, the last one, does not count
    deltas = torch.tensor([[[9.0] * 4, [1, -0.5, 0.3, 0.2]], [[-2.0, 0, 0, -1], [9.0] * 4]])
    moved = model.roi_head.refine(Stage(rois, None, classes, deltas), [{'img_shape': (64, 96)}] * 2)
    for box, (_, x0, y0, x1, y1), (dx, dy, dw, dh) in zip(
        moved, rois.tolist(), (deltas[0, 1], deltas[1, 0]), strict=True
    ):
        x, y = (x0 + x1) / 2 + 0.1 * dx * (x1 - x0), (y0 + y1) / 2 + 0.1 * dy * (y1 - y0)
        w, h = (x1 - x0) * math.exp(0.2 * dw), (y1 - y0) * math.exp(0.2 * dh)
        torch.testing.assert_close(box[0], torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2]))


def test_the_losses_are_their_formulas(model):
    """One image, two squares, a crowd region; boxes on the first, beside it, on the second, and inside the crowd."""
    torch.manual_seed(0)
    masks, crowds = np.zeros((2, 64, 96), bool), np.zeros((1, 64, 96), bool)
    masks[0, 0:28, 0:28], masks[1, 30:58, 30:58], crowds[0, :28, 60:] = True, True, True
    masks[0, 20:, :28] = False
    sample = sample_of(masks, crowds, labels=[1, 0])
    sample.gt_instances.bboxes[0] = torch.tensor([0.0, 0, 28, 28])
    boxes = torch.tensor([[0.0, 0, 28, 28], [50, 0, 58, 20], [32, 30, 60, 58], [70, 4, 90, 24]])
    stage = Stage(to_rois([boxes]), torch.randn(4, 28, 28), torch.randn(4, 3), torch.randn(4, 2, 4))
    found = model.roi_head.stage_losses(stage, [sample])

    labels = [1, 2, 0]  # background is 2; the last box does not count
    expected = sum(-math.log(stage.classes[row].double().softmax(0)[label]) for row, label in enumerate(labels)) / 3
    assert found['loss_class'].item() == pytest.approx(expected, rel=1e-5)
    wanted = np.zeros((2, 28, 28), bool)  # the boxes have 28 pixels, so a mask in them is cut out
    wanted[0, :20], wanted[1, :, :26] = True, True
    signs = np.where(wanted, 1.0, -1.0)
    logistic = np.log1p(np.exp(-signs * stage.masks[[0, 2]].double().numpy()))
    assert found['loss_mask'].item() == pytest.approx(logistic.mean(), rel=1e-5)
    offsets = [stage.deltas[0, 1].tolist(), (stage.deltas[2, 0] - torch.tensor([-2 / 28 / 0.1, 0, 0, 0])).tolist()]
    smooth = sum(one**2 / 2 if abs(one) < 1 else abs(one) - 0.5 for of_box in offsets for one in of_box)
    assert found['loss_box'].item() == pytest.approx(smooth / 3, rel=1e-4)


def test_the_gradients_of_the_losses(model):
    torch.manual_seed(0)
    masks = np.zeros((1, 64, 96), bool)
    masks[0, 10:38, 20:48] = True
    sample, rois = sample_of(masks), to_rois([torch.tensor([[22.0, 9, 47, 40], [60, 40, 90, 60]])])
    logits = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 3), (2, 3), (2, 2, 4))]

    def losses(*logits):
        return tuple(model.roi_head.stage_losses(Stage(rois, *logits), [sample]).values())

    assert torch.autograd.gradcheck(losses, logits)


def test_voting_is_what_the_paper_says():
    """A slow reference: classes, boxes and masks one by one. `paste_mean` has a reference of its own."""
    rng = np.random.default_rng(0)
    boxes = np.concatenate([centre + rng.normal(0, 3, (6, 4)) for centre in ([5, 5, 30, 28], [20, 12, 44, 38])])
    masks, scores = rng.random((12, 5, 5)), rng.random((12, 2)) ** 2
    cfg = SimpleNamespace(score_thr=0.1, iou_thr=0.3, max_per_img=100, mask_thr=0.5)
    expected = []
    for label in range(2):
        left = sorted((row for row in range(12) if scores[row, label] > 0.1), key=lambda row: -scores[row, label])
        voters = list(left)
        while left:
            best = left[0]
            similar = [row for row in voters if iou(boxes[row], boxes[best]) >= 0.5]
            left = [row for row in left[1:] if iou(boxes[row], boxes[best]) <= 0.3]
            box, mean = paste_mean(
                *(torch.tensor(one) for one in (masks[similar], boxes[similar], scores[similar, label])), (40, 50)
            )
            whole = np.zeros((40, 50), bool)
            whole[box[1] : box[3], box[0] : box[2]] = mean.numpy() > 0.5
            expected.append((scores[best, label], label, whole))
    found = vote(*(torch.tensor(one) for one in (boxes, masks, scores)), (40, 50), cfg)
    expected = [one for one in sorted(expected, key=lambda one: -one[0]) if one[2].any()]
    assert found.host_labels == [label for _, label, _ in expected] and len(found) > 3
    np.testing.assert_allclose(found.scores, [score for score, _, _ in expected], rtol=1e-6)
    np.testing.assert_array_equal(found.masks, np.stack([mask for _, _, mask in expected]))
    cfg.max_per_img = 2
    assert (
        vote(*(torch.tensor(one) for one in (boxes, masks, scores)), (40, 50), cfg).host_labels == found.host_labels[:2]
    )
    cfg.score_thr = 1.0
    assert len(vote(*(torch.tensor(one) for one in (boxes, masks, scores)), (40, 50), cfg)) == 0


def iou(box, other):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(width, 0) * max(height, 0)
    return common / (area(box) + area(other) - common)


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize(
    ('images', 'samples'),
    [
        (scenes(1)[0], lambda: [sample_of(NOTHING)]),
        (scenes(1)[0], lambda: [sample_of(scenes(1)[1][0], crowds=np.ones((1, 64, 96), bool))]),
        (
            [scenes(1)[0][0], scenes(1, 3, 5)[0][0]],
            lambda: [sample_of(np.ones((1, 64, 96), bool)), sample_of(np.ones((1, 3, 5), bool))],
        ),
    ],
    ids=['no objects', 'objects inside a crowd', 'sizes mixed, one tiny, objects as large as the images'],
)
def test_awkward_batches_train(images, samples):
    model = small_model('mnc_r18').train()
    loss, _ = model.parse_losses(losses_of(model, images, samples()))
    loss.backward()
    assert loss.isfinite() and all(one.grad.isfinite().all() for one in model.parameters() if one.grad is not None)


def test_one_class_and_no_instances(model):
    one_class = small_model('mnc_r18', **{'model.roi_head.num_classes': 1})
    (found,) = found_in(one_class, scenes(1)[0])
    assert set(found.host_labels) == {0}
    one_class.roi_head.test_cfg.score_thr = 1.1
    (found,) = found_in(one_class, scenes(1)[0])
    assert len(found) == 0 and found.size == (64, 96)


def test_other_numbers_of_stages_are_refused():
    with pytest.raises(ValueError, match='stages must be 3 or 5, got 4'):
        small_model('mnc_r18', **{'model.roi_head.stages': 4})


@pytest.mark.slow
def test_it_overfits_four_scenes():
    widths = {'backbone.base_channels': 16, 'neck.in_channels': [64], 'neck.out_channels': 32}
    widths |= {'rpn_head.in_channels': 32, 'roi_head.in_channels': 32, 'roi_head.mask_channels': 64}
    widths |= {'rpn_head.feat_channels': 128}  # of 16, no RPN learns boxes for six anchors
    # few anchors fit an object in so small images: with mmdet's weights the boxes would learn last
    cfg = {'train_cfg.rpn.sampler.num': 64, 'test_cfg.rpn.max_per_img': 50, 'rpn_head.loss_bbox.loss_weight': 5.0}
    cfg |= {'rpn_head.anchor_generator.scales': [3, 6]}
    options = {f'model.{name}': value for name, value in {**widths, **cfg}.items()}
    model, images, masks, labels = overfit('mnc_r18', 500, 2e-3, **options)
    ious = [
        one for of_image in zip(found_in(model, images), masks, labels, strict=True) for one in best_ious(*of_image)
    ]
    assert len(ious) > 6 and np.mean(ious) > 0.8, ious
