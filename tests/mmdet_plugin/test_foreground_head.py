import numpy as np
import pytest
import torch
from conftest import ROOT


@pytest.fixture(scope='module')
def model():
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import solo_bg.models.segmenter  # noqa: F401  (fills the registries)

    init_default_scope('mmdet')
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(ROOT / 'configs/solo_bg_tiny_train.py').model)


def sample(masks):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    n, height, width = masks.shape
    data = InstanceData(labels=torch.zeros(n, dtype=torch.int64), bboxes=torch.tensor([[4.0, 4, 40, 40]] * n))
    data.masks = BitmapMasks(masks.astype(np.uint8), height, width)
    return DetDataSample(
        gt_instances=data, metainfo={'img_shape': (height, width), 'batch_input_shape': (height, width)}
    )


def test_the_loss_falls_when_the_branch_is_right(model):
    masks = np.zeros((1, 64, 64), bool)
    masks[0, 8:40, 8:40] = True
    head, samples = model.mask_head, [sample(masks)]
    features = model.extract_feat(torch.randn(1, 3, 64, 64))
    losses = head.loss(features, samples)
    assert set(losses) == {'loss_mask', 'loss_cls', 'loss_foreground'}

    target = torch.nn.functional.interpolate(torch.from_numpy(masks)[None].float(), (8, 8), mode='area')
    forward, head.foreground.forward = head.foreground.forward, lambda x: (target - 0.5) * 20
    right = head.loss(features, samples)['loss_foreground']
    head.foreground.forward = lambda x: (0.5 - target) * 20
    wrong = head.loss(features, samples)['loss_foreground']
    head.foreground.forward = forward
    assert right < 0.01 < 1 < wrong and right < losses['loss_foreground'] < wrong


def test_losses_are_float32_under_autocast(model):
    """A mask's sum in bfloat16 is right to three digits."""
    masks = np.zeros((1, 64, 64), bool)
    masks[0, 8:40, 8:40] = True
    x = torch.randn(1, 3, 64, 64)
    exact = model.mask_head.loss(model.extract_feat(x), [sample(masks)])
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.mask_head.loss(model.extract_feat(x), [sample(masks)])
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.05, atol=0.05)


def test_an_image_without_masks_has_a_loss(model):
    from solo_bg.mmdet_plugin.foreground_head import union

    empty = sample(np.zeros((0, 64, 64), bool)).gt_instances.masks
    assert not union(empty, (64, 64), torch.device('cpu')).any()


def test_masks_lie_in_the_foreground(model, monkeypatch):
    """Where the map says foreground the maps are those of mmdet's head; where it says background, no mask is."""
    from mmdet.models.dense_heads import DecoupledSOLOLightHead

    head, left = model.mask_head, 2 * (torch.arange(12) < 6) - 1
    x = model.eval().extract_feat(torch.randn(1, 3, 64, 96))
    monkeypatch.setattr(head.foreground, 'forward', lambda _: 80.0 * left.expand(1, 1, 8, 12))
    with torch.no_grad():
        columns, rows, classes = head(x)
        plain_columns, *plain = DecoupledSOLOLightHead.forward(head, x)
    model.train()
    torch.testing.assert_close([rows, classes], plain)
    for ours, theirs in zip(columns, plain_columns, strict=True):
        torch.testing.assert_close(ours[..., :11], theirs[..., :11])
        assert ours[..., 13:].max() < 1e-6 < theirs[..., 13:].min()


def test_training_multiplies_by_the_map_as_use_does(model):
    """Training returns logits: the logistic function of each is mmdet's times the map's probability."""
    from mmdet.models.dense_heads import DecoupledSOLOLightHead

    head, x = model.mask_head, model.extract_feat(torch.randn(1, 3, 64, 96))
    columns, *others = head(x)
    plain, *plain_others = DecoupledSOLOLightHead.forward(head, x)
    torch.testing.assert_close(others, plain_others)
    for ours, theirs in zip(columns, plain, strict=True):
        expected = theirs.sigmoid() * head.foreground_map(x, theirs.shape[-2:])
        torch.testing.assert_close(ours.sigmoid(), expected, atol=1e-6, rtol=1e-5)


def test_masks_do_not_teach_the_map(model):
    columns, *_ = model.mask_head(model.extract_feat(torch.randn(1, 3, 64, 96)))
    sum(one.sum() for one in columns).backward()
    assert all(one.grad is None for one in model.mask_head.foreground.parameters())
    model.zero_grad()


def test_the_logit_of_a_product(rng):
    from solo_bg.mmdet_plugin.foreground_head import logit_of_product

    a, b = torch.from_numpy(rng.normal(0, 3, (2, 100)))
    product = torch.special.expit(a) * torch.special.expit(b)
    torch.testing.assert_close(logit_of_product(a, b), torch.special.logit(product))
    extremes = torch.tensor([-200.0, -30, 0, 30, 200]).requires_grad_()
    logits = logit_of_product(extremes[:, None], extremes)
    logits.sum().backward()
    assert logits.isfinite().all() and extremes.grad.isfinite().all()
