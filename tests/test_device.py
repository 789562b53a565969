"""Everything that works on the model's device, on a pretended CUDA device: no mix of devices, few operations and waits,
and the same results as on the CPU."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from agreement import assert_agree
from coco_data import make_dataset
from conftest import CHECKPOINT, CLASSES, CONFIG
from pretended import OnDevice, pretended_device
from random_masks import random_masks

from solo_bg import Instances, Segmenter, as_instances, eliminate_background, pipeline, show_result_ins
from solo_bg.coco.carry_over import carry_over
from solo_bg.coco.dataset import Annotations
from solo_bg.core import crops, transfer
from solo_bg.core.crops import Crops, Packed
from solo_bg.disk.inputs import list_images
from solo_bg.draw import backgrounds
from solo_bg.draw.fills import FILLS, load_fill
from solo_bg.draw.styles import STYLES, load_style
from solo_bg.options import Options
from solo_bg.scenes import draw_scene
from solo_bg.solo.to_image import ToImage
from solo_bg.sources.base import InputImage, Source


@pytest.fixture
def device():
    with pretended_device() as device:
        yield device


@pytest.fixture
def host(rng):
    """Instances of every awkward kind on the CPU."""
    masks = torch.from_numpy(random_masks(rng, 16, 30, 43))
    return Instances(masks, torch.arange(16) % 3, torch.linspace(1, 0.1, 16), CLASSES)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (30, 43, 3), dtype=np.uint8)


def on_device(array):
    return torch.from_numpy(array).to('cuda:0')


def check_same(there, here):
    """The same instances on the device and on the host."""
    assert there.device.type == 'cuda' and here.device.type == 'cpu'
    for name in ('masks', 'labels', 'scores', 'boxes', 'owner_map', 'foreground', 'areas', 'union'):
        value = getattr(there, name)
        assert value.device.type == 'cuda' and torch.equal(value.cpu(), getattr(here, name)), name
    assert torch.equal(there.centres.cpu().nan_to_num(-1), here.centres.nan_to_num(-1))
    assert there.names == here.names and there.host_boxes == here.host_boxes and there.margin == here.margin
    assert (there.alpha is None) == (here.alpha is None)
    assert here.alpha is None or torch.equal(there.alpha.cpu(), here.alpha)


def test_the_pretended_device_refuses_what_a_gpu_refuses(device):
    there, here = torch.ones(3, device='cuda:0'), torch.ones(3)
    for mix in (lambda: there + here, lambda: torch.cat([here, there]), lambda: F.linear(here, there[None])):
        with pytest.raises(RuntimeError, match='cuda:0 and on cpu'):
            mix()
    with pytest.raises(TypeError, match='to numpy'):
        there.numpy()
    assert (there + torch.tensor(1.0)).tolist() == [2, 2, 2]  # torch lets a single number of the host pass
    assert there.device == torch.device('cuda:0') and there[1:].is_cuda and isinstance(there.sum(), OnDevice)


def test_the_pretended_device_counts(device):
    there = torch.zeros(4, 5, device='cuda:0')
    device.reset()
    there[1:].T.view(5, 3)
    assert not device.operations.total()  # views
    (there * 2 + 1).sum()
    assert device.operations.total() == 3 and not device.waits.total()
    for waits in (
        there.tolist,
        there.cpu,
        there[0, 0].item,
        there.nonzero,
        lambda: bool(there.any()),
        lambda: there[there > 0],
    ):
        device.reset()
        waits()
        assert device.waits.total() == 1
    device.reset()
    there[there > 0] = 3  # a masked fill
    torch.ones(9).to('cuda:0', non_blocking=True)
    torch.ones(10**5).pin_memory().to('cuda:0', non_blocking=True)
    assert not device.waits.total()
    torch.ones(10**5).to('cuda:0', non_blocking=True)
    torch.ones(9).to('cuda:0')
    assert device.waits.total() == 2


@pytest.mark.parametrize('small', [True, False])
@pytest.mark.parametrize('packed_from', [2**20, 50])
@pytest.mark.parametrize(
    'change',
    [
        lambda one: one,
        lambda one: one[[5, 1, 0, 1]],
        lambda one: one[torch.arange(16).to(one.device) % 3 == 0],
        lambda one: one[[]],
        lambda one: one.select(0.4, ['cat', 'dog']),
        lambda one: one.join(one[2:7]),
        lambda one: one.sort_by_area().grow(2),
        lambda one: one.with_alpha((one.owner_map * 37 + 40).to(torch.uint8))[3:],
        lambda one: as_instances((one.masks, one.labels, one.scores), one.size, CLASSES),
        lambda one: as_instances(one, (61, 80)),
        lambda one: one.to('cpu').to(one.device),
    ],
)
def test_instances(change, host, device, small, packed_from, monkeypatch):
    if not small:
        monkeypatch.setattr('solo_bg.core.masks.TOGETHER', {})
    held = [Packed.of(crop) if crop.numel() >= packed_from else crop for crop in host.crops]
    here = Instances.from_crops(host.boxes, Crops(held), host.size, host.labels, host.scores, CLASSES)
    check_same(change(here.to('cuda:0')), change(here))
    dense = Instances(host.masks.to('cuda:0'), host.labels.to('cuda:0'), host.scores.to('cuda:0'), CLASSES)
    check_same(change(dense), change(host))


def test_crops_change_devices_in_one_transfer(host, device):
    held = [Packed.of(crop) if index % 2 else crop for index, crop in enumerate(host.crops)]
    there = Crops(held).to(torch.device('cuda:0'))
    assert device.waits == {'to cuda': 1} and all(crop.device.type == 'cuda' for crop in there)
    device.reset()
    assert all(map(torch.equal, there.to(torch.device('cpu')), host.crops)) and device.waits.total() == 1


@pytest.mark.parametrize('style', STYLES)
def test_styles(style, host, image, device):
    picture = load_style(style)(on_device(image), host.to('cuda:0'))
    assert picture.device.type == 'cuda'
    expected = load_style(style)(torch.from_numpy(image), host)
    assert torch.equal(picture.cpu(), expected) and picture.dtype == expected.dtype


def test_the_functions_for_python(host, image, device):
    there = host.to('cuda:0')
    np.testing.assert_array_equal(show_result_ins(image, there, CLASSES), show_result_ins(image, host, CLASSES))
    np.testing.assert_array_equal(eliminate_background(image, there), eliminate_background(image, host))
    assert eliminate_background(on_device(image), there).device.type == 'cuda'


FILLED = {
    **{name: load_fill(name) for name in FILLS},
    'colour': backgrounds.Colour((1, 2, 3)),
    'pictures': backgrounds.Pictures(2, lambda index: np.full((9, 7, 3), index, np.uint8)),
    'mix': backgrounds.Mix([load_fill('mean'), load_fill('noise')], [1, 1], ['mean', 'noise']),
}


@pytest.mark.parametrize('name', FILLED)
def test_fills(name, image, device):
    there, here = (
        FILLED[name](one, backgrounds.random_of(0, 'a')) for one in (on_device(image), torch.from_numpy(image))
    )
    assert there.device.type == 'cuda' and torch.equal(there.cpu(), here)


@pytest.mark.parametrize('missed', ['keep', 'ignore', 'drop'])
def test_carry_over(missed, tmp_path, device):
    coco = make_dataset(tmp_path, 1)
    labelled = Annotations(coco).read(coco['images'][0], (coco['images'][0]['height'], coco['images'][0]['width']))
    found = labelled.instances[::2]
    here, there = (carry_over(one, labelled, missed, 0.5, margin=1) for one in (found, found.to('cuda:0')))
    assert (there.entries, there.iou, there.decisions) == (here.entries, here.iou, here.decisions)
    check_same(there.instances, here.instances)


@pytest.mark.parametrize('packed_from', [2**20, 700])
def test_soft_masks_become_the_same_masks(packed_from, device, monkeypatch):
    """In one call, and one call each."""
    monkeypatch.setattr(crops, 'PACKED_FROM', packed_from)
    soft = F.avg_pool2d(torch.rand(1, 12, 26, 34, generator=torch.Generator().manual_seed(0)), 3, 1, 1)[0] * 1.2
    soft[2], soft[3, :, 6:], soft[5:, :9] = 0.0, 0.0, 0.0
    boxes, masks = ToImage((26, 34), (101, 130), (70, 90), soft.device)(soft, 0.5)
    to_image = ToImage((26, 34), (101, 130), (70, 90), torch.device('cuda:0'))
    for together in (True, False):
        if not together:
            monkeypatch.setattr('solo_bg.core.masks.TOGETHER', {})
        found, there = to_image(soft.to('cuda:0'), 0.5)
        assert torch.equal(found.cpu(), boxes) and all(map(torch.equal, there.to(torch.device('cpu')), masks))
        empty = to_image(soft[:0].to('cuda:0'), 0.5)
        assert empty[0].shape == (0, 4) and not len(empty[1])


def draw_soft_masks(count, canvas):
    """Discs with soft edges, float32 (count, h, w)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: canvas[0], : canvas[1]]
    away = [np.hypot(y - rng.uniform(0, canvas[0]), x - rng.uniform(0, canvas[1])) for _ in range(count)]
    return torch.from_numpy(np.stack([1 / (1 + np.exp(one - rng.uniform(5, 40))) for one in away]).astype(np.float32))


def test_many_instances_take_few_operations_and_waits(tmp_path, rng, device):
    """59 instances of a photograph of 640x480, from soft masks to all pictures."""
    soft, pixels = draw_soft_masks(59, (120, 160)).to('cuda:0'), rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    labels, scores = (torch.arange(59) % 3).to('cuda:0'), torch.linspace(1, 0.31, 59).to('cuda:0')
    to_image = ToImage((120, 160), (480, 640), (480, 640), torch.device('cuda:0'))
    options = Options(out='out', styles=list(STYLES))
    (tmp_path / 'a.png').touch()
    job = pipeline.Job(list_images([str(tmp_path / 'a.png')])[0], 'a')
    device.reset()
    instances = Instances.from_crops(*to_image(soft, 0.5), (480, 640), labels, scores, CLASSES)
    assert device.operations.total() <= 80 and device.waits.total() <= 3
    item = pipeline.Segmented(job, '', InputImage('a', 'a.png', pixels), instances, 0.0)
    pictures, _, _ = pipeline.draw(item, pipeline.Choice(instances, {}, []), True, options)
    assert device.operations.total() <= 200 and device.waits.total() <= 6
    device.reset()
    composed = pipeline.compose(item, options)  # also chooses, and encodes the masks for annotations.json
    assert len(composed.pictures) == len(STYLES)
    assert device.operations.total() <= 300 and device.waits.total() <= 12
    for style in STYLES:
        np.testing.assert_array_equal(pictures[style], load_style(style)(torch.from_numpy(pixels), instances.to('cpu')))


def test_choosing_instances_waits_for_nothing(host, device):
    there = host.to('cuda:0')
    device.reset()
    there.select(0.4, ['cat', 'dog'])[[3, 1]].join(there).grow(3).count_by_class()
    assert not device.waits.total()


def test_pictures_leave_in_one_transfer(rng, device):
    pictures = [
        rng.integers(0, 256, shape, dtype=dtype) for shape, dtype in (((3, 5, 3), 'u1'), ((3, 5), 'u2'), ((1,), 'u1'))
    ]
    there = [on_device(picture) for picture in pictures]
    device.reset()
    for got, expected in zip(
        transfer.download([there[0].flip(0), *there[1:]]), [pictures[0][::-1], *pictures[1:]], strict=True
    ):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
    assert device.waits == {'synchronize': 1} and transfer.download([]) == []


@pytest.fixture(scope='module')
def scene():
    return draw_scene(4)[0]


@pytest.mark.parametrize('lazy', [True, False])
def test_segmenter(scene, device, lazy, segmenter):
    there = Segmenter(CONFIG, CHECKPOINT, device='cuda:0', precision='fp32', lazy=lazy)
    device.reset()
    found, again = there([scene, scene[:, ::-1].copy()])
    assert len(found) and len(again)
    assert not lazy or device.waits.total() <= 40  # of two images
    if not lazy:  # mmdet's head compares masks of one class only
        of_each_class = ['model.test_cfg.nms_across_classes=False']
        segmenter = Segmenter(CONFIG, CHECKPOINT, device='cpu', cfg_options=of_each_class)
    expected = segmenter([scene])[0]
    assert_agree(found.to('cpu'), expected)


class Bright(Source):
    """One instance: what is brighter than 128 in blue."""

    class_names, device = ('blue',), 'cuda:0'

    def __call__(self, images):
        masks = [on_device(image.pixels)[None, ..., 0] > 128 for image in images]
        one = torch.ones(1, device='cuda:0')
        return [Instances(mask, torch.zeros_like(one).long(), one, self.class_names) for mask in masks]


def test_the_whole_line_composes_in_its_own_stream(tmp_path, rng, device, monkeypatch):
    import cv2

    (tmp_path / 'in').mkdir()
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'in/{name}.png'), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    monkeypatch.setattr(pipeline, 'ahead', lambda pool, work, items, depth: map(work, items))  # in this thread
    images = list_images([str(tmp_path / 'in')])
    options = Options(out=tmp_path / 'out', styles=list(STYLES), fill=backgrounds.blur, dilate=2)
    records = list(pipeline.run(images, Bright(), options))
    assert [record.status for record in records] == ['ok', 'ok'] and all(len(record.outputs) == 5 for record in records)
    asked = [what for what, _ in itertools.groupby(device.asked)]
    assert asked == ['record_event', 'wait_event', 'synchronize'] * 2
