import io
import pickle
import sys
import tarfile
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from conftest import BUNDLED_CLASSES, CHECKPOINT
from forged import Hostile
from safetensors.torch import save_file

from solo_bg.errors import SetupError
from solo_bg.models.checkpoint import Checkpoint, load_checkpoint
from solo_bg.models.weights import load_weights


def test_a_training_checkpoint_of_mmengine_loads(tmp_path):
    from mmengine.logging import HistoryBuffer

    history = HistoryBuffer([1.0, 2.0], [1, 1])
    hub = {'log_scalars': {'loss': history}, 'lr': np.float64(0.1)}
    torch.save({'state_dict': {'module.a': torch.ones(2)}, 'meta': {'iter': 3}, 'message_hub': hub}, tmp_path / 'a.pth')
    loaded = load_checkpoint(tmp_path / 'a.pth')
    assert list(loaded.state_dict) == ['a'] and loaded.meta == {'iter': 3}


def test_bare_weights_load(tmp_path):
    torch.save({'a': torch.ones(2)}, tmp_path / 'a.pth')
    assert load_checkpoint(tmp_path / 'a.pth').meta == {}


class Getattr:
    def __reduce__(self):
        return getattr, (OrderedDict, 'fromkeys')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('hostile', [Hostile, Getattr])
def test_a_file_that_would_run_code_is_refused(tmp_path, zipped, hostile):
    thing = hostile(tmp_path / 'owned') if hostile is Hostile else hostile()
    content = {'state_dict': {'a': torch.ones(2)}, 'meta': {'x': thing}}
    torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    message = 'mkdir' if hostile is Hostile else "it wants the attribute 'fromkeys'"
    with pytest.raises(SetupError, match=f'loaded safely: .*{message}'):
        load_checkpoint(tmp_path / 'a.pth')
    assert not (tmp_path / 'owned').exists()


class ByHand:
    """An array whose bytes would be pointers; it would end the process, or take all memory."""

    def __init__(self, shape, dtype, data):
        self.arguments = shape, dtype, data

    def __reduce__(self):
        return np.ndarray, self.arguments


@pytest.mark.parametrize('arguments', [((1,), 'O', b'\x10' * 8), ((2**45,), 'f8', None), ((1,), 'S8', b'\x10' * 8)])
def test_arrays_are_not_made_by_hand(tmp_path, arguments):
    torch.save({'state_dict': {'a': torch.ones(1)}, 'meta': {'x': ByHand(*arguments)}}, tmp_path / 'a.pth')
    with pytest.raises(SetupError, match='makes an array of bytes of its own'):
        load_checkpoint(tmp_path / 'a.pth')


def test_arrays_and_numbers_of_numpys_load(tmp_path):
    noted = {'array': np.arange(6.0).reshape(2, 3), 'number': np.float32(0.5), 'flags': np.array([True, False])}
    torch.save({'state_dict': {'a': torch.ones(1)}, 'meta': noted}, tmp_path / 'a.pth')
    found = load_checkpoint(tmp_path / 'a.pth').meta
    assert type(found['array']) is np.ndarray and found['number'] == 0.5 and found['flags'].tolist() == [True, False]
    np.testing.assert_array_equal(found['array'], noted['array'])


def test_trust_does_not_bring_what_is_not_installed(tmp_path, monkeypatch):
    module = types.ModuleType('mmcv_of_old')
    module.Config = type('Config', (), {'__module__': 'mmcv_of_old'})
    monkeypatch.setitem(sys.modules, 'mmcv_of_old', module)
    torch.save({'state_dict': {'a': torch.ones(1)}, 'meta': {'x': module.Config()}}, tmp_path / 'a.pth')
    monkeypatch.delitem(sys.modules, 'mmcv_of_old')
    with pytest.raises(SetupError, match='No module named'):
        load_checkpoint(tmp_path / 'a.pth', trust=True)


def test_a_refusal_names_what_was_wanted_and_trust_runs_it(tmp_path):
    torch.save({'state_dict': {'a': torch.ones(2)}, 'meta': {'x': Hostile(tmp_path / 'owned')}}, tmp_path / 'a.pth')
    with pytest.raises(SetupError, match=r'it wants (posix|nt|os)\.mkdir\. .*, --trust-checkpoint'):
        load_checkpoint(tmp_path / 'a.pth')
    assert load_checkpoint(tmp_path / 'a.pth', trust=True).state_dict.keys() == {'a'}
    assert (tmp_path / 'owned').exists()


def test_bare_pickles_and_legacy_tars_run_nothing(tmp_path):
    hostile = pickle.dumps({'state_dict': Hostile(tmp_path / 'owned')})
    (tmp_path / 'bare.pth').write_bytes(hostile)
    with tarfile.open(tmp_path / 'tar.pth', 'w') as tar:
        for name in ('sys_info', 'pickle', 'storages', 'tensors'):
            member = tarfile.TarInfo(name)
            member.size = len(hostile)
            tar.addfile(member, io.BytesIO(hostile))
    for name in ('bare.pth', 'tar.pth'):
        with pytest.raises(SetupError, match=name):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / 'owned').exists()


def test_safetensors_load(tmp_path):
    save_file({'a': torch.arange(3.0)}, tmp_path / 'a.safetensors')
    loaded = load_checkpoint(tmp_path / 'a.safetensors')
    assert loaded.state_dict['a'].tolist() == [0, 1, 2] and loaded.meta == {}
    (tmp_path / 'b.safetensors').write_bytes(b'none')
    with pytest.raises(SetupError, match='cannot be read as a checkpoint'):
        load_checkpoint(tmp_path / 'b.safetensors')


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(value):
    model = torch.nn.Linear(2, 3)
    weights = {**model.state_dict(), 'bias': torch.tensor([0, value, 0])}
    with pytest.raises(SetupError, match=r'a.pth is broken: 1 of its weights hold NaN or infinity \(bias\)'):
        load_weights(model, Checkpoint(weights, {}), 'a.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'a.pth'),
        (b'<!DOCTYPE html><html>404</html>', 'a.pth'),
        (b'PK\x03\x04 a zip that is none', 'a.pth'),
        (pickle.dumps(3), 'a.pth'),
    ],
)
def test_what_is_no_checkpoint_is_an_error(tmp_path, content, message):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(SetupError, match=message):
        load_checkpoint(tmp_path / 'a.pth')


def test_a_missing_file_and_a_file_without_weights(tmp_path):
    with pytest.raises(SetupError, match='no checkpoint at'):
        load_checkpoint(tmp_path / 'missing.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(SetupError, match='holds no weights'):
        load_checkpoint(tmp_path / 'list.pth')


def test_weights_that_do_not_fit_are_counted_and_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    weights = {name: value for name, value in model.state_dict().items() if 'tracked' not in name}
    load_weights(model, Checkpoint(weights, {}), 'fits.pth')  # the counter of batches may be missing
    weights['0.weight'] = torch.ones(5, 5)
    weights['extra'] = torch.ones(1)
    del weights['0.bias']
    with pytest.raises(SetupError, match=r'1 missing \(0.bias\); 1 not in the model \(extra\); 1 of another shape'):
        load_weights(model, Checkpoint(weights, {}), 'wrong.pth')


def test_the_bundled_checkpoint_is_plain_and_small():
    loaded = torch.load(CHECKPOINT, map_location='cpu', weights_only=True)  # nothing allow-listed
    assert set(loaded) == {'state_dict', 'meta'}
    assert loaded['meta']['dataset_meta']['classes'] == list(BUNDLED_CLASSES)
    assert CHECKPOINT.stat().st_size < 40e6
