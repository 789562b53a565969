import pytest
import torch
import torch.nn.functional as F

from solo_bg.solo import to_image
from solo_bg.solo.to_image import ToImage


def soft_masks(seed, count=6, height=13, width=17):
    generator = torch.Generator().manual_seed(seed)
    return F.avg_pool2d(torch.rand(1, count, height, width, generator=generator), 3, 1, 1)[0] * 1.2


@pytest.mark.parametrize('step', [1, 7, 4096])
@pytest.mark.parametrize(
    ('cut', 'size'), [((52, 68), (52, 68)), ((45, 60), (31, 17)), ((52, 61), (211, 300)), ((50, 68), (1, 1))]
)
def test_to_image_is_two_resizes_and_a_crop(cut, size, step, monkeypatch):
    monkeypatch.setitem(to_image.BAND, 'cpu', step)
    soft = soft_masks(3)
    soft[1] = 0.0
    soft[2, :, 5:] = 0.0
    soft[3, :4] = soft[3, 9:] = 0.0
    large = F.interpolate(soft[None], size=(52, 68), mode='bilinear')[..., : cut[0], : cut[1]]
    expected = F.interpolate(large, size=size, mode='bilinear')[0] > 0.5
    boxes, crops = ToImage((13, 17), cut, size, soft.device)(soft, 0.5)
    for mask, (x0, y0, x1, y1), crop in zip(expected, boxes.tolist(), crops, strict=True):
        ys, xs = mask.nonzero().unbind(1)
        assert [x0, y0, x1, y1] == ([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(ys) else [0, 0, 0, 0])
        assert torch.equal(crop, mask[y0:y1, x0:x1])
        assert not crop.numel() or (crop.any(0)[[0, -1]].all() and crop.any(1)[[0, -1]].all())


def test_to_image_of_nothing():
    boxes, crops = ToImage((13, 17), (52, 68), (20, 30), torch.device('cpu'))(torch.zeros(0, 13, 17), 0.5)
    assert boxes.shape == (0, 4) and len(crops) == 0
