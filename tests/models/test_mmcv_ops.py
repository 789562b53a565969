import subprocess
import sys
from pathlib import Path

import pytest
import torch

from solo_bg.models import mmcv_ops
from solo_bg.models.operators import focal_loss

try:
    from mmcv import _ext  # the stand-in, or the compiled one
except ImportError:
    _ext = None


def run(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)


def test_importing_solo_bg_is_light():
    done = run(
        'import sys, solo_bg; dir(solo_bg)\n'
        "heavy = [name for name in ('torch', 'mmcv', 'mmengine', 'mmdet', 'cv2', 'numpy') if name in sys.modules]\n"
        'assert not heavy, heavy'
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_resolves():
    import solo_bg

    for name in solo_bg.__all__:
        assert getattr(solo_bg, name).__module__.startswith('solo_bg.')
    with pytest.raises(AttributeError, match='no attribute'):
        print(solo_bg.nothing)


def test_stock_mmdet_imports_and_builds_after_solo_bg():
    done = run(
        'import solo_bg, importlib.util\n'
        'import mmdet.models\n'
        'from mmdet.registry import MODELS\n'
        "assert importlib.util.find_spec('mmcv._ext') is not None\n"
        "assert MODELS.get('SOLO') and MODELS.get('MaskRCNN')"
    )
    assert done.returncode == 0, done.stderr


def test_the_finder_stands_last_and_once():
    mmcv_ops.install()
    mmcv_ops.install()
    finders = [finder for finder in sys.meta_path if isinstance(finder, mmcv_ops.StandInFinder)]
    assert len(finders) == 1
    assert finders[0].find_spec('mmcv.other') is None


def test_a_missing_operator_names_itself():
    missing = mmcv_ops.StandIn('mmcv._ext').roi_pool_forward
    with pytest.raises(NotImplementedError, match=r"'roi_pool_forward'.*pip install"):
        missing(1, 2)


def test_every_operator_that_stands_in_is_there_and_is_mmcvs():
    """mmcv's wheels hold the sources of what they compile, with the names of all operators."""
    import mmcv

    bindings = (Path(mmcv.__path__[0]) / 'ops/csrc/pytorch/pybind.cpp').read_text()
    for name in mmcv_ops.OPERATORS:
        assert callable(getattr(mmcv_ops.StandIn('mmcv._ext'), name))
        assert f'm.def("{name}"' in bindings


@pytest.mark.parametrize('weighted', [False, True])
def test_focal_loss_against_autograd(weighted):
    """Forward against the definition, backward against the derivative that torch finds of it."""
    torch.manual_seed(0)
    logits = torch.randn(40, 5, dtype=torch.float32) * 3
    target = torch.randint(0, 6, (40,))  # 5 is background
    weight = torch.rand(5) + 0.5 if weighted else torch.empty(0)
    gamma, alpha = 2.0, 0.25

    inputs = logits.clone().requires_grad_()
    p = inputs.sigmoid()
    is_class = torch.nn.functional.one_hot(target, 6)[:, :5].bool()
    wanted = torch.where(is_class, -alpha * (1 - p) ** gamma * p.log(), -(1 - alpha) * p**gamma * (1 - p).log())
    if weighted:
        wanted = wanted * torch.cat([weight, torch.ones(1)])[target][:, None]
    wanted.sum().backward()

    loss, grad = torch.empty_like(logits), torch.empty_like(logits)
    focal_loss.sigmoid_focal_loss_forward(logits, target, weight, loss, gamma=gamma, alpha=alpha)
    focal_loss.sigmoid_focal_loss_backward(logits, target, weight, grad, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(loss, wanted.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(grad, inputs.grad, rtol=1e-4, atol=1e-6)


def test_focal_loss_stays_finite_at_extreme_logits():
    logits = torch.tensor([[-200.0, 200.0], [200.0, -200.0]])
    out = torch.empty_like(logits)
    focal_loss.sigmoid_focal_loss_forward(logits, torch.tensor([0, 2]), torch.empty(0), out, gamma=2.0, alpha=0.25)
    assert out.isfinite().all()


def test_mmcv_uses_the_stand_in():
    if not isinstance(_ext, mmcv_ops.StandIn):
        pytest.skip('a compiled mmcv is installed here')
    from mmcv.ops import sigmoid_focal_loss
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    torch.manual_seed(1)
    logits, target = torch.randn(30, 4), torch.randint(0, 5, (30,))
    one_hot = torch.nn.functional.one_hot(target, 5)[:, :4]
    wanted = py_sigmoid_focal_loss(logits, one_hot, gamma=2.0, alpha=0.25, reduction='none')
    torch.testing.assert_close(sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none'), wanted)


def test_only_the_known_noise_is_dropped(capsys):
    import warnings

    with pytest.warns(UserWarning, match='something new') as caught, mmcv_ops.quiet_imports():
        print('Could not import OneDL. Skipping OneDL datasets.')
        print('a real message')
        warnings.warn('faster_coco_eval is not installed, metrics will not be computed.', stacklevel=1)
        warnings.warn('something new', stacklevel=1)
    assert capsys.readouterr().out == 'a real message\n'
    assert len(caught) == 1
