"""The lazy heads against mmdet's own: on the same features and weights, the same answers."""

import pytest
import torch
from agreement import assert_agree
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from solo_bg import ImageError
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.solo import decode

with quiet_imports():
    from mmdet.models.dense_heads import solo_head
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    import solo_bg.mmdet_plugin.foreground_head  # noqa: F401  (the lazy heads, too)

HEADS = ('SOLOHead', 'DecoupledSOLOHead', 'DecoupledSOLOLightHead', 'ForegroundDecoupledSOLOLightHead')
GRIDS, CHANNELS, CLASSES = (10, 8, 6, 4, 3), 32, 5
SIZE = (96, 128)
TEST_CFG = {
    'nms_pre': 500,
    'score_thr': 0.1,
    'mask_thr': 0.5,
    'filter_thr': 0.05,
    'kernel': 'gaussian',
    'sigma': 2.0,
    'max_per_img': 100,
}


def make_heads(name, share=0.2, strides=(4, 8, 16, 32, 64), **test_cfg):
    """mmdet's head and ours with the same weights, with which about `share` of the (cell, class) pairs pass."""
    torch.manual_seed(0)
    config = {
        'num_classes': CLASSES,
        'in_channels': CHANNELS,
        'feat_channels': CHANNELS,
        'stacked_convs': 2,
        'num_grids': GRIDS,
    }
    config['scale_ranges'] = ((1, 16), (8, 32), (16, 64), (32, 128), (64, 256))
    config['strides'] = strides
    config['test_cfg'] = ConfigDict({**TEST_CFG, **test_cfg})
    stock, ours = (MODELS.build({'type': kind, **config}).eval() for kind in (name, f'Lazy{name}'))
    for parameter_name, parameter in stock.named_parameters():
        if 'conv_mask_list' in parameter_name or 'conv_cls' in parameter_name:
            torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        if name.startswith('Foreground'):
            torch.nn.init.normal_(stock.foreground[-1].weight, 3, 2)  # near 1 in some places, near 0 in others
        stock.conv_cls.bias.zero_()
        logits = torch.cat([score.logit().flatten() for score in stock(features())[-1] if score.any()])
        stock.conv_cls.bias += torch.tensor(0.1).logit() - logits[logits.isfinite()].quantile(1 - share)
    ours.load_state_dict(stock.state_dict())
    return stock, ours


def features(batch=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    sides = ((height // stride, width // stride) for stride in (4, 8, 16, 32, 64))
    maps = (torch.randn(batch, CHANNELS, *(max(side, 1) for side in size), generator=generator) for size in sides)
    return tuple(torch.nn.functional.avg_pool2d(one, 3, 1, 1) for one in maps)  # smooth, so that masks have shapes


def samples(*sizes):
    """A sample for each (height and width without padding, height and width of the image)."""
    return [DetDataSample(metainfo={'img_shape': cut, 'ori_shape': size}) for cut, size in sizes]


def both(name, x=None, metas=None, **kwargs):
    stock, ours = make_heads(name, **kwargs)
    x, metas = x or features(), metas or samples(((90, 128), (61, 87)))
    with torch.no_grad():
        return stock.predict(x, metas), ours.find(x, [sample.metainfo for sample in metas]), ours


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
def test_the_same_answers(name, kernel):
    (theirs,), (found,), _ = both(name, kernel=kernel)
    assert len(found) > 20 and 0.02 < found.masks.float().mean() < 0.9
    assert_agree(found, theirs)


@pytest.mark.parametrize('name', HEADS)
def test_nms_across_classes(name, monkeypatch):
    """As mmdet's head whose NMS is told that all candidates have one class."""
    nms = solo_head.mask_matrix_nms

    def of_one_class(masks, labels, scores, **kwargs):
        scores, _, masks, kept = nms(masks, torch.zeros_like(labels), scores, **kwargs)
        return scores, labels[kept], masks, kept

    monkeypatch.setattr(solo_head, 'mask_matrix_nms', of_one_class)
    (theirs,), (found,), _ = both(name, nms_across_classes=True)
    assert 5 < len(found) < len(both(name)[1][0])
    assert_agree(found, theirs)


@pytest.mark.parametrize('name', HEADS)
def test_a_batch_of_images_of_different_sizes(name):
    """One of them larger than the model's input, one much smaller."""
    metas = samples(((96, 128), (301, 402)), ((70, 128), (35, 64)), ((96, 90), (96, 90)))
    theirs, found, _ = both(name, features(3), metas)
    for one, other in zip(found, theirs, strict=True):
        assert len(one) > 20
        assert_agree(one, other)


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('limits', [{'nms_pre': 7}, {'max_per_img': 3}, {'filter_thr': -1}, {'nms_pre': -1}])
def test_limits(name, limits):
    (theirs,), (found,), _ = both(name, **limits)
    assert_agree(found, theirs)


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('mask_thr', [-0.5, 0.0, 1.0])
def test_thresholds_at_the_ends(name, mask_thr):
    (theirs,), (found,), _ = both(name, mask_thr=mask_thr)
    assert_agree(found, theirs)


@pytest.mark.parametrize('name', HEADS)
def test_an_image_without_candidates_in_a_batch(name, monkeypatch):
    _, ours = make_heads(name)
    x = features(3)
    metas = [{'img_shape': SIZE, 'ori_shape': SIZE}] * 3
    expected = ours.find(x, metas)
    score = ours.score_cells
    monkeypatch.setattr(
        ours, 'score_cells', lambda feat, grid: score(feat, grid) * torch.tensor([1, 0, 1])[:, None, None]
    )
    found = ours.find(x, metas)
    assert len(found[1]) == 0 < len(expected[1])
    for index in (0, 2):
        torch.testing.assert_close(found[index].scores, expected[index].scores, rtol=0, atol=1e-5)
        assert (found[index].masks != expected[index].masks).float().mean() < 1e-4


@pytest.mark.parametrize('name', HEADS)
def test_every_cell_passes(name, monkeypatch):
    """Then too the masks are computed a chunk at a time."""
    monkeypatch.setitem(decode.CHUNK, 'cpu', 10_000)
    stock, ours = make_heads(name, score_thr=-1.0, filter_thr=0.001, nms_pre=200)
    largest = spy_on_parts(ours, monkeypatch)
    x, metas = features(), samples(((96, 128), (96, 128)))
    with torch.no_grad():
        assert_agree(ours.find(x, [metas[0].metainfo])[0], stock.predict(x, metas)[0])
    assert 0 < max(largest) <= 10_000


def spy_on_parts(head, monkeypatch):
    """Collects the size of every tensor of soft masks that is computed."""
    sizes, make = [], head.soft_masks

    def spied(*args):
        part = make(*args)

        class Spy:
            def __len__(self):
                return len(part)

            def __call__(self, rows):
                soft = part(rows)
                sizes.append(soft.numel())
                return soft

        return Spy()

    monkeypatch.setattr(head, 'soft_masks', spied)
    return sizes


@pytest.mark.parametrize('name', HEADS)
def test_levels_without_candidates_are_skipped(name, monkeypatch):
    _, ours = make_heads(name)
    x = features()
    scores = [ours.score_cells(feat, grid) for feat, grid in zip(ours.resize_feats(x), GRIDS, strict=True)]
    monkeypatch.setattr(ours, 'score_cells', lambda feat, grid: scores[GRIDS.index(grid)] * (grid in (8, 3)))
    computed, make = [], ours.mask_maps
    monkeypatch.setattr(ours, 'mask_maps', lambda feat: computed.append(tuple(feat.shape[-2:])) or make(feat))
    (found,) = ours.find(x, [{'img_shape': SIZE, 'ori_shape': SIZE}])
    assert len(found) and computed == [(12, 16), (3, 4)]


@pytest.mark.parametrize('name', HEADS)
def test_without_candidates_no_mask_is_computed(name, monkeypatch):
    _, ours = make_heads(name, score_thr=1.0)
    monkeypatch.setattr(ours, 'mask_maps', lambda feat: pytest.fail('a mask branch ran'))
    (found,) = ours.find(features(), [{'img_shape': SIZE, 'ori_shape': (50, 60)}], ('a', 'b', 'c', 'd', 'e'))
    assert len(found) == 0 and found.size == (50, 60) and len(found.class_names) == CLASSES
    (result,) = ours.predict(features(), samples((SIZE, (50, 60))))
    assert result.masks.shape == (0, 50, 60) and result.masks.dtype == torch.bool and result.labels.dtype == torch.int64


def test_nothing_left_after_nms():
    _, (found,), _ = both('SOLOHead', filter_thr=0.99)
    assert len(found) == 0 and found.masks.shape == (0, 61, 87)


@pytest.mark.parametrize('name', HEADS)
def test_masks_too_small_for_their_level_are_dropped(name):
    (theirs,), (found,), _ = both(name, mask_thr=0.9)
    assert len(found) < 100
    assert_agree(found, theirs)


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize(
    ('where', 'value'), [('conv_cls', torch.nan), ('conv_cls', torch.inf), ('conv_mask_list', torch.nan)]
)
def test_scores_that_are_not_finite_are_an_error(name, where, value):
    _, ours = make_heads(name)
    with torch.no_grad():
        for parameter_name, parameter in ours.named_parameters():
            if where in parameter_name and parameter_name.endswith('bias'):
                parameter.fill_(value)
    with pytest.raises(ImageError, match='NaN or infinity'):
        ours.find(features(), [{'img_shape': SIZE, 'ori_shape': SIZE}])


@pytest.mark.parametrize('name', HEADS)
def test_mmdets_own_interface(name):
    """`predict` gives what mmdet's evaluation takes, with boxes where mmdet has zeros."""
    _, (found,), ours = both(name)
    (result,) = ours.predict(features(), samples(((90, 128), (61, 87))))
    assert isinstance(result, InstanceData) and torch.equal(result.masks, found.masks)
    for mask, box in zip(result.masks, result.bboxes.tolist(), strict=True):
        ys, xs = mask.nonzero().unbind(1)
        assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@pytest.mark.parametrize('name', HEADS)
def test_training_is_mmdets(name):
    stock, ours = make_heads(name)
    x = features()
    sample = DetDataSample(metainfo={'img_shape': SIZE, 'ori_shape': SIZE, 'batch_input_shape': SIZE})
    masks = torch.zeros(2, *SIZE, dtype=torch.uint8)
    masks[0, 10:60, 20:70] = masks[1, 50:90, 80:120] = 1
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 10, 70, 60], [80, 50, 120, 90]]),
        labels=torch.tensor([1, 2]),
        masks=BitmapMasks(masks.numpy(), *SIZE),
    )
    for first, second in zip(*(head.train().loss(x, [sample]).values() for head in (stock, ours)), strict=True):
        assert torch.equal(first, second) and first > 0
