"""Which backend and precision are chosen; OpenVINO itself is not needed."""

import sys

import pytest
import torch
from conftest import CHECKPOINT, CONFIG, ROOT

from solo_bg import SetupError
from solo_bg.cli import main as cli
from solo_bg.models import backend
from solo_bg.models.backend import choose_backend, choose_onnx_backend

CPU, CUDA = torch.device('cpu'), torch.device('cuda')


@pytest.fixture
def installed(monkeypatch):
    """As if OpenVINO were installed, with the precisions that the test gives."""

    def install(*precisions):
        monkeypatch.setattr(backend, 'find_spec', lambda name: name)
        monkeypatch.setattr(backend, 'openvino_precisions', lambda: list(precisions))

    return install


@pytest.mark.parametrize(
    ('known', 'precision', 'device', 'lazy', 'expected'),
    [
        (('fp32', 'bf16'), 'bf16', CPU, True, 'openvino'),
        (('fp32', 'bf16'), 'fp32', CPU, True, 'torch'),
        (('fp32', 'bf16'), 'bf16', CPU, False, 'torch'),
        (('fp32', 'bf16'), 'bf16', CUDA, True, 'torch'),
        (('fp32',), 'bf16', CPU, True, 'torch'),
    ],
)
def test_auto(installed, known, precision, device, lazy, expected):
    installed(*known)
    assert choose_backend('auto', precision, device, lazy) == (expected, precision)


def test_auto_without_openvino(monkeypatch):
    monkeypatch.setattr(backend, 'find_spec', lambda name: None)
    assert choose_backend('auto', 'bf16', CPU, True) == ('torch', 'bf16')


def test_a_precision_that_openvino_lacks_becomes_fp32(installed, caplog):
    installed('fp32')
    assert choose_backend('openvino', 'bf16', CPU, True) == ('openvino', 'fp32')
    assert 'no bf16 on this CPU (it has fp32), so it computes in fp32' in caplog.text
    installed('fp32', 'bf16')
    assert choose_backend('openvino', 'bf16', CPU, True) == ('openvino', 'bf16')


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (('openvino', 'fp16', CUDA, True), 'for the CPU, got --device cuda'),
        (('openvino', 'fp32', CPU, False), 'lazy head; use --backend torch'),
        (('tensorrt', 'fp32', CPU, True), "no backend is called 'tensorrt'; expected auto, torch, openvino"),
    ],
)
def test_where_openvino_cannot_be_used(installed, given, message):
    installed('fp32')
    with pytest.raises(SetupError, match=message):
        choose_backend(*given)


def test_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    argv = [
        CONFIG,
        CHECKPOINT,
        ROOT / 'demo/images',
        '-o',
        tmp_path / 'out',
        '--device',
        'cpu',
        '--backend',
        'openvino',
    ]
    assert cli.main(list(map(str, argv))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert '--backend openvino needs OpenVINO' in line and 'pip install "solo_bg[openvino]"' in line


def test_idle_threads_sleep_soon_unless_the_user_says_otherwise(monkeypatch):
    own, other = 'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'
    for given, expected in (({}, '100'), ({own: '7'}, '7'), ({other: 'ACTIVE'}, None)):
        monkeypatch.setenv(own, '')
        monkeypatch.delenv(own)
        monkeypatch.delenv(other, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        cli.set_up_process()
        assert cli.os.environ.get(own) == expected


@pytest.mark.parametrize(
    ('known', 'given', 'expected'),
    [
        (('fp32', 'bf16'), ('auto', 'auto', CPU), ('onnxruntime', 'file')),
        (('fp32', 'bf16'), ('auto', 'bf16', CPU), ('openvino', 'bf16')),
        (('fp32',), ('auto', 'bf16', CPU), ('onnxruntime', 'file')),
        (('fp32', 'bf16'), ('auto', 'bf16', CUDA), ('onnxruntime', 'file')),
        (('fp32', 'bf16'), ('torch', 'bf16', CPU), ('onnxruntime', 'file')),
        (('fp32', 'bf16'), ('openvino', 'auto', CPU), ('openvino', 'fp32')),
        (('fp32', 'bf16'), ('openvino', 'bf16', CPU), ('openvino', 'bf16')),
        (('fp32',), ('openvino', 'bf16', CPU), ('openvino', 'fp32')),
    ],
)
def test_what_computes_an_onnx_file(installed, caplog, known, given, expected):
    installed(*known)
    assert choose_onnx_backend(*given) == expected
    ignored = given[1] != 'auto' and given[1] != expected[1]
    assert bool(caplog.records) == ignored


def test_an_onnx_file_where_openvino_cannot_be_used(installed):
    installed('fp32')
    with pytest.raises(SetupError, match='for the CPU, got --device cuda'):
        choose_onnx_backend('openvino', 'auto', CUDA)
    with pytest.raises(SetupError, match="no backend is called 'tensorrt'; expected auto, torch, openvino"):
        choose_onnx_backend('tensorrt', 'auto', CPU)
