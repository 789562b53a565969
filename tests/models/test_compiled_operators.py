"""What stands in for mmcv's operators against what mmcv compiles, built for the CPU from the sources in its wheel."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from test_operators import ROIS

from solo_bg.models import mmcv_ops
from solo_bg.models.operators import boxes, convolutions

pytestmark = pytest.mark.slow
NAMES = ('nms', 'roi_align_forward', 'roi_align_backward', 'deform_conv_forward', 'modulated_deform_conv_forward')
FILES = ('nms', 'roi_align', 'deform_conv', 'modulated_deform_conv')


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    """mmcv's compiled module where it is installed, else one of the files that we need (a minute)."""
    import mmcv
    from mmcv import _ext

    if not isinstance(_ext, mmcv_ops.StandIn):
        return _ext
    sources = Path(mmcv.__path__[0]) / 'ops/csrc'
    if not shutil.which('ninja') or not shutil.which(os.environ.get('CXX', 'c++')):
        pytest.skip('no compiler and ninja here')
    from torch.utils.cpp_extension import load

    files = [f'{where}/{name}.cpp' for name in FILES for where in ('pytorch', 'pytorch/cpu')]
    bindings = [f'm.def("{name}", &{name});' for name in NAMES]
    lines = ['#include <torch/extension.h>', *(f'#include "{name}"' for name in files)]
    binding = tmp_path_factory.mktemp('compiled') / 'binding.cpp'
    binding.write_text('\n'.join([*lines, 'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {', *bindings, '}']))
    include = [str(sources), str(sources / 'common')]
    return load('few_of_mmcv', [str(binding)], extra_include_paths=include, build_directory=binding.parent)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.7])
def test_nms(compiled, threshold, offset):
    torch.manual_seed(0)
    corner = torch.rand(3000, 2) * 300
    given = torch.cat([corner, corner + torch.rand(3000, 2) * 60], 1), torch.rand(3000)
    assert torch.equal(compiled.nms(*given, threshold, offset), boxes.nms(*given, threshold, offset))


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', [boxes.MAX, boxes.AVERAGE])
def test_roi_align(compiled, mode, ratio, aligned):
    torch.manual_seed(0)
    with_area = ROIS[(ROIS[:, 3:] > ROIS[:, 1:3]).all(1)]
    input, grad = torch.randn(2, 5, 20, 25), torch.randn(len(with_area), 5, 7, 6)
    found = []
    for module in (compiled, boxes):
        output, y, x = (torch.zeros_like(grad) for _ in range(3))
        geometry = 7, 6, 0.5, ratio, mode, aligned
        module.roi_align_forward(input, with_area, output, y, x, *geometry)
        backward = torch.zeros_like(input)
        module.roi_align_backward(grad, with_area, y, x, backward, *geometry)
        found.append((output, backward))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize('modulated', [True, False])
def test_deformable_convolutions(compiled, modulated):
    torch.manual_seed(0)
    input, weight, bias = torch.randn(2, 8, 17, 19), torch.randn(6, 4, 3, 5), torch.randn(6)
    offset, mask, output = torch.randn(2, 4 * 15 * 2, 9, 17) * 3, torch.rand(2, 4 * 15, 9, 17), torch.zeros(2, 6, 9, 17)
    found = []
    for module in (compiled, convolutions):
        output, spare = output.clone(), [torch.zeros(0) for _ in range(2)]
        if modulated:
            geometry = 3, 5, 2, 1, 1, 3, 1, 2, 2, 4, True  # kernel, stride, padding and dilation, each y then x; groups
            module.modulated_deform_conv_forward(
                input, weight, bias, spare[0], offset, mask, output, spare[1], *geometry
            )
        else:
            geometry = 5, 3, 1, 2, 3, 1, 2, 1, 2, 4, 2  # as above, each x then y
            module.deform_conv_forward(input, weight, offset, output, *spare, *geometry)
        found.append(output)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
