"""tools/finish_tiny.py: what becomes of the weights."""

import pytest
import torch
from conftest import ROOT


@pytest.fixture(scope='module')
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools'))
        import finish_tiny
    return finish_tiny


def save(path, **weights):
    torch.save({'state_dict': {name.replace('__', '.'): value for name, value in weights.items()}}, path)
    return path


def test_the_backbone_goes_back_a_part_of_its_way(tool, tmp_path):
    ones = torch.ones(1, 1, 3, 3)
    weights = {'backbone.conv1.weight': 3 * ones, 'backbone.new.weight': 3 * ones, 'neck.conv1.weight': 3 * ones}
    before = save(tmp_path / 'r50.pth', conv1__weight=ones, fc__weight=torch.ones(2, 2))
    mixed = tool.mix_backbone(weights, before, 0.25)
    assert {name: value.unique().tolist() for name, value in mixed.items()} == {
        'backbone.conv1.weight': [2.5],
        'backbone.new.weight': [3.0],
        'neck.conv1.weight': [3.0],
    }


def test_weights_of_something_else_are_refused(tool, tmp_path):
    other = save(tmp_path / 'other.pth', stem__weight=torch.ones(1))
    with pytest.raises(ValueError, match='holds no weights of the backbone'):
        tool.mix_backbone({'backbone.conv1.weight': torch.ones(1, 1, 3, 3)}, other, 0.3)


def test_convolutions_alone_are_halved(tool):
    halved = tool.halve_convolutions({'conv': torch.ones(1, 1, 3, 3), 'variance': torch.tensor([1e5])})
    assert halved['conv'].dtype == torch.float16 and halved['variance'].item() == 1e5
