"""Forged checkpoints are refused in one line, and what training writes is read."""

import copy
import subprocess
import sys

import forged
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.logging import HistoryBuffer, MessageHub

from solo_bg.errors import SetupError
from solo_bg.models.checkpoint import Checkpoint, load_checkpoint, read_checkpoint
from solo_bg.models.unpickle import NUMBERS
from solo_bg.models.weights import load_weights

RESUME = """
import sys
sys.path.insert(0, {tests!r})
from mmengine.logging import MessageHub
from mmengine.runner.checkpoint import CheckpointLoader
from solo_bg.errors import SetupError
from solo_bg.models.{module} import load_safely_everywhere
load_safely_everywhere()
try:
    loaded = CheckpointLoader.load_checkpoint({path!r})
    MessageHub.get_instance('x').load_state_dict(loaded['message_hub'])
except SetupError as error:
    print('refused', error)
"""


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('name', forged.arrays())
def test_a_forged_array_is_refused(tmp_path, name, zipped):
    path = forged.checkpoint(tmp_path / 'a.pth', forged.arrays()[name], zipped)
    with pytest.raises(SetupError, match=r'a\.pth') as refused:
        read_checkpoint(path)
    assert len(str(refused.value).splitlines()) == 1


def test_resuming_from_a_forged_checkpoint_does_not_crash(tmp_path):
    """mmengine copies what it resumes from, and an array of pointers would end the process."""
    path = forged.checkpoint(tmp_path / 'a.pth', forged.arrays()['a copy of float64 becomes a record of objects'])
    code = RESUME.format(tests=str(ROOT / 'tests'), module='runner_loading', path=str(path))
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'refused' in done.stdout and 'is no number' in done.stdout


@pytest.mark.parametrize('code', NUMBERS)
def test_arrays_and_numbers_of_every_type_are_read(tmp_path, code):
    whole = np.arange(6).reshape(2, 3).astype(code)
    few = {'rows': whole, 'columns': np.asfortranarray(whole), 'none': whole[:0]}
    given = {**few, 'one': whole[1, 2], 'zero': whole.sum()}
    found = read_checkpoint(forged.checkpoint(tmp_path / 'a.pth', given))['message_hub']['runtime_info']['x']
    for name, wanted in given.items():
        assert type(found[name]) is type(wanted) and found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted)
    found['rows'][0, 0] = 1  # mmengine appends to what it resumes from


def test_what_training_noted_survives_resuming(tmp_path):
    """Against the object that was saved; the copy is what mmengine makes when it resumes."""
    hub = MessageHub('written')
    for value in (3.0, 1.0, 2.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('nested', [({'a': np.arange(3)}, np.float32(0.5))])
    torch.save({'state_dict': {'a': torch.ones(1)}, 'message_hub': hub.state_dict()}, tmp_path / 'a.pth')
    other = MessageHub('read')
    other.load_state_dict(read_checkpoint(tmp_path / 'a.pth')['message_hub'])
    history = other.get_scalar('train/loss')
    assert isinstance(history, HistoryBuffer) and (history.min(), history.current(), history.mean()) == (1, 2, 2)
    history.update(9.0)
    assert history.max() == 9
    ((inner, number),) = copy.deepcopy(other.get_info('nested'))
    assert type(inner['a']) is np.ndarray and inner['a'].tolist() == [0, 1, 2] and number == np.float32(0.5)


def test_a_list_that_holds_itself_and_tuples_that_share_their_parts(tmp_path):
    """As walking without a memory would never end."""
    ring, tree = [np.arange(2)], (np.arange(2),)
    ring.append(ring)
    for _ in range(60):
        tree = (tree, tree)
    found = read_checkpoint(forged.checkpoint(tmp_path / 'a.pth', [ring, tree]))['message_hub']['runtime_info']['x']
    assert found[0][1] is found[0] and type(found[0][0]) is np.ndarray
    assert found[1][0] is found[1][1]


@pytest.mark.parametrize('name', forged.odd_tensors())
def test_weights_of_odd_kinds_are_one_line(tmp_path, name):
    tensor, word = forged.odd_tensors()[name]
    torch.save({'state_dict': {'weight': tensor, 'bias': torch.ones(2)}}, tmp_path / 'a.pth')
    model = torch.nn.Linear(2, 2)
    before = model.weight.clone()
    with pytest.raises(SetupError, match=f'a.pth .*{word}') as refused:
        load_weights(model, load_checkpoint(tmp_path / 'a.pth'), 'a.pth')
    assert len(str(refused.value).splitlines()) == 1 and torch.equal(model.weight, before)


def test_sparse_tensors_are_refused_wherever_they_are(tmp_path):
    with pytest.raises(SetupError, match='sparse'):
        read_checkpoint(forged.checkpoint(tmp_path / 'a.pth', [(torch.ones(2).to_sparse(),)]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_fit(dtype):
    model = torch.nn.Linear(2, 2)
    load_weights(model, Checkpoint({'weight': torch.ones(2, 2, dtype=dtype), 'bias': torch.ones(2)}, {}), 'a.pth')
    assert model.weight.dtype == torch.float32 and (model.weight == 1).all()
