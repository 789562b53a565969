"""After `load_safely_everywhere`, mmengine reads no checkpoint except through our reader."""

import re

import pytest
import torch
from forged import Hostile

from solo_bg.errors import SetupError
from solo_bg.models.mmcv_ops import quiet_imports
from solo_bg.models.runner_loading import LOOKED_UP, load_safely_everywhere

with quiet_imports():
    from mmengine.runner import checkpoint as mmengines


@pytest.fixture
def load(tmp_path, monkeypatch):
    """mmengine's loader with ours in it, and `owned` as the folder that hostile files would make."""
    monkeypatch.setattr(mmengines, 'load_from_http', mmengines.load_from_http)
    monkeypatch.setattr(mmengines, '_safe_torch_load', getattr(mmengines, '_safe_torch_load', None), raising=False)
    monkeypatch.setattr(mmengines.CheckpointLoader, '_schemes', dict(mmengines.CheckpointLoader._schemes))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    (tmp_path / 'hub/checkpoints').mkdir(parents=True)  # what is there is not downloaded again
    for name, more in (('good.pth', {}), ('bad.pth', {'x': Hostile(tmp_path / 'owned')})):
        torch.save({'backbone.a': torch.ones(2), **more}, tmp_path / 'hub/checkpoints' / name)
    load_safely_everywhere()
    yield mmengines.CheckpointLoader.load_checkpoint
    assert not (tmp_path / 'owned').exists()


@pytest.mark.parametrize(
    'address',
    [
        *('s3://b.pth', 'cluster:s3://b.pth', 'petrel://b.pth', 'cluster:petrel://b.pth', 'open-mmlab:petrel://b.pth'),
        'pavi://b',
    ],
)
def test_stores_are_refused_in_one_line(load, address):
    with pytest.raises(SetupError, match=f'{re.escape(address)} cannot be read safely from here; download it'):
        load(address)


def test_every_scheme_of_mmengines_is_ours_or_is_refused(load):
    """Also one that a later mmengine may have."""
    for scheme, loader in mmengines.CheckpointLoader._schemes.items():
        assert loader.__module__ == 'solo_bg.models.runner_loading' or scheme in LOOKED_UP, scheme


def test_a_scheme_that_was_registered_before_is_refused(load):
    mmengines.CheckpointLoader.register_scheme(prefixes='new://', loader=lambda name, map_location: torch.load(name))
    load_safely_everywhere()
    with pytest.raises(SetupError, match='new://a cannot be read safely'):
        load('new://a')


def test_addresses_are_downloaded_and_read_as_data(load):
    assert load('https://127.0.0.1:9/some/good.pth?x=1').keys() == {'backbone.a'}
    with pytest.raises(SetupError, match='mkdir'):
        load('http://127.0.0.1:9/bad.pth')


@pytest.mark.parametrize('scheme', LOOKED_UP)
def test_names_in_lists_lead_to_our_reader(load, monkeypatch, scheme):
    """The lists are mmengine's; the addresses in them are made up."""
    addresses = {name: f'https://127.0.0.1:9/{name}.pth' for name in ('good', 'bad')}
    for lists in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(mmengines, lists, lambda: addresses)
    monkeypatch.setattr(mmengines, 'get_deprecated_model_names', dict)
    loaded = load(f'{scheme}good')
    assert {'backbone.a', 'a'} & set(loaded.get('state_dict', loaded))
    with pytest.raises(SetupError, match='mkdir'):
        load(f'{scheme}bad')


@pytest.mark.skipif(
    not hasattr(mmengines, '_safe_torch_load'), reason="upstream's mmengine reads with torch's defaults"
)
def test_what_mmengine_still_reads_by_itself_goes_through_our_reader(load, tmp_path):
    """A name in its list may stand for a file on the disk; a store hands over an open file."""
    bad, good = (tmp_path / 'hub/checkpoints' / name for name in ('bad.pth', 'good.pth'))
    with bad.open('rb') as file, pytest.raises(SetupError, match='mkdir'):
        mmengines._safe_torch_load(file)
    with pytest.raises(SetupError, match='mkdir'):
        mmengines._safe_torch_load(str(bad))
    with good.open('rb') as file:
        assert mmengines._safe_torch_load(file, map_location='cpu').keys() == {'backbone.a'}


def test_a_file_without_weights_is_given_as_it_is(load, tmp_path):
    """mmengine says what it misses."""
    for content in ([1, 2], {'state_dict': 3}):
        torch.save(content, tmp_path / 'a.pth')
        assert load(str(tmp_path / 'a.pth')) == content
