"""The caller's settings of torch do not reach the results, and are as before afterwards."""

import threading

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from solo_bg.solo.precision import exact_settings, full_float32
from solo_bg.solo.to_image import ToImage

CALLERS = {
    'nothing': lambda: None,
    'TF32 for products': lambda: setattr(torch.backends.cuda.matmul, 'allow_tf32', True),
    'bfloat16 for products': lambda: torch.set_float32_matmul_precision('medium'),
    'TF32 for everything': lambda: setattr(torch.backends, 'fp32_precision', 'tf32'),
    'no TF32 in cuDNN': lambda: setattr(torch.backends.cudnn, 'allow_tf32', False),
    'benchmark mode': lambda: setattr(torch.backends.cudnn, 'benchmark', True),
}


def settings():
    return [getattr(owner, name) for owner, name, _ in exact_settings()]


@pytest.fixture(params=CALLERS)
def caller(request):
    """A caller who has set something; it is undone afterwards."""
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in exact_settings()]
    CALLERS[request.param]()
    yield request.param
    if hasattr(torch.backends, 'fp32_precision'):
        torch.backends.fp32_precision = 'none'
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn
    for owner, name, value in before:
        setattr(owner, name, value)


def test_every_bit_is_computed_whatever_the_caller_has_set(caller):
    before, exact = settings(), [value for _, _, value in exact_settings()]
    with pytest.raises(KeyError), full_float32():
        assert settings() == exact
        torch.nn.functional.conv2d(torch.rand(1, 3, 8, 8), torch.rand(2, 3, 3, 3)) @ torch.rand(6, 6)
        raise KeyError  # the settings come back all the same
    assert settings() == before


class Products(TorchFunctionMode):
    """Notes the settings of torch at every product of matrices."""

    def __init__(self):
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if 'mm' in function.__name__ or 'matmul' in function.__name__:
            self.seen.append(settings())
        return function(*args, **(kwargs or {}))


def test_a_segmenter_computes_with_every_bit(caller, segmenter, rng):
    with Products() as products:
        segmenter([rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)])
    assert products.seen and all(one == [value for _, _, value in exact_settings()] for one in products.seen)


def test_decoding_by_itself_computes_with_every_bit(caller):
    """As a Runner of mmdet's calls it, through the head."""
    to_image = ToImage((13, 17), (52, 68), (52, 68), torch.device('cpu'))
    with Products() as products:
        to_image(torch.rand(2, 13, 17), 0.5)
    assert products.seen and all(one == [value for _, _, value in exact_settings()] for one in products.seen)


def test_two_threads_put_the_settings_back_once():
    """The first to enter leaves first; the second still computes with every bit, and the caller's come back."""
    before, exact = settings(), [value for _, _, value in exact_settings()]
    entered, left = threading.Event(), threading.Event()
    inside = []

    def other():
        with full_float32():
            entered.set()
            left.wait(10)
            inside.append(settings())

    thread = threading.Thread(target=other)
    with full_float32():
        thread.start()
        entered.wait(10)
    left.set()
    thread.join()
    assert inside == [exact] and settings() == before
