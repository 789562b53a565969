import io
import os
import pickle
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from conftest import CHECKPOINT
from safetensors.torch import save_file

from solo_bg.checkpoint import Checkpoint, load_checkpoint, load_weights
from solo_bg.errors import SetupError


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


class Hostile:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Getattr:
    def __reduce__(self):
        return getattr, (OrderedDict, 'fromkeys')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('hostile', [Hostile, Getattr])
def test_a_file_that_would_run_code_is_refused(tmp_path, zipped, hostile):
    thing = hostile(tmp_path / 'owned') if hostile is Hostile else hostile()
    content = {'state_dict': {'a': torch.ones(2)}, 'meta': {'x': thing}}
    torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    with pytest.raises(SetupError, match='loaded safely'):
        load_checkpoint(tmp_path / 'a.pth')
    assert not (tmp_path / 'owned').exists()


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
    assert loaded['meta']['dataset_meta']['classes'] == ['object']
    assert CHECKPOINT.stat().st_size < 30e6
