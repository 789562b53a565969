"""What only a real CUDA device can show: its rounding, its streams, and that it is not waited for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES
from random_masks import random_masks

from solo_bg import Instances
from solo_bg.core import transfer
from solo_bg.core.streams import own_stream, work_so_far
from solo_bg.draw.styles import STYLES, load_style
from solo_bg.solo.to_image import ToImage

pytestmark = pytest.mark.gpu


@pytest.fixture
def host(rng):
    masks = torch.from_numpy(random_masks(rng, 16, 60, 83))
    return Instances(masks, torch.arange(16) % 3, torch.linspace(1, 0.1, 16), CLASSES)


def test_soft_masks_become_the_same_masks_but_for_rounding():
    soft = F.avg_pool2d(torch.rand(1, 30, 104, 136, generator=torch.Generator().manual_seed(0)), 9, 1, 4)[0] * 1.1
    size = (480, 640)
    found = []
    for device in (torch.device('cpu'), torch.device('cuda:0')):
        boxes, crops = ToImage((104, 136), (416, 544), size, device)(soft.to(device), 0.55)
        numbers = torch.zeros(30, device=device)
        found.append(Instances.from_crops(boxes, crops, size, numbers.long(), numbers).masks.cpu())
    large = F.interpolate(F.interpolate(soft[None], size=(416, 544), mode='bilinear'), size=size, mode='bilinear')[0]
    assert ((large - 0.55).abs()[found[0] != found[1]] < 1e-5).all()


def test_pictures_arrive_as_they_are(rng):
    pictures = [rng.integers(0, 256, shape, dtype=dtype) for shape, dtype in (((9, 7, 3), 'u1'), ((9, 7), 'u2'))]
    there = [transfer.upload(torch.from_numpy(picture), torch.device('cuda:0')) for picture in pictures]
    for got, expected in zip(transfer.download(there), pictures, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_choosing_instances_does_not_wait(host):
    there = host.to('cuda:0')
    torch.cuda.set_sync_debug_mode('error')
    try:
        there.select(0.4, ['cat', 'dog'])[[3, 1]].join(there).grow(3).count_by_class()
    finally:
        torch.cuda.set_sync_debug_mode('default')


def test_threads_compose_beside_a_busy_model(host, rng):
    """The stream of the model is busy, its tensors are freed and their memory is used again at once."""
    image = torch.from_numpy(rng.integers(0, 256, (60, 83, 3), dtype=np.uint8))
    expected = [load_style(style)(image, host).numpy() for style in STYLES]
    busy = torch.rand(4096, 4096, device='cuda:0')

    def compose(item):
        instances, ready = item
        with own_stream(instances.device, ready):
            there = transfer.upload(image, instances.device)
            return transfer.download([load_style(style)(there, instances) for style in STYLES])

    def find():
        for _ in range(40):
            torch.mm(busy, busy)
            instances = host.to('cuda:0')
            yield instances, work_so_far(instances.device)

    with ThreadPoolExecutor(4) as pool:
        for pictures in [one.result() for one in [pool.submit(compose, item) for item in find()]]:
            for got, right in zip(pictures, expected, strict=True):
                np.testing.assert_array_equal(got, right)
