"""`tools/classifier_experiment.py` on a small data set of drawn scenes."""

import copy
import json
import sys

import numpy as np
import pytest
import torch
from coco_data import decode, make_dataset
from conftest import ROOT

from solo_bg.core.windows import cut_window, square_around


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    import classifier_experiment

    return classifier_experiment


@pytest.fixture
def data(tmp_path):
    """The data set's dict, its annotation file and its folder of images; the objects are persons and food."""
    coco = copy.deepcopy(make_dataset(tmp_path, height=90, width=120))
    for category, name in zip(coco['categories'], ('person', 'food'), strict=True):
        category['name'] = name
    (tmp_path / 'instances.json').write_text(json.dumps(coco))
    return coco, tmp_path / 'instances.json', tmp_path / 'images'


def test_the_versions_of_a_crop_differ_in_the_background_alone(tool, data):
    coco, ann_file, images = data
    wanted = [one for one in coco['annotations'] if not one['iscrowd'] and max(one['bbox'][2:]) >= tool.SMALLEST]
    crops = list(tool.cut_crops(ann_file, images, None))
    assert len(crops) == len(wanted) > 4
    for crop, annotation in zip(crops, sorted(wanted, key=lambda one: one['image_id']), strict=True):
        x, y, width, height = annotation['bbox']
        window = square_around((x, y, x + width, y + height), tool.CONTEXT)
        mask = torch.from_numpy(decode(annotation['segmentation'], (90, 120)))
        _, inside = cut_window(torch.zeros(90, 120, 3, dtype=torch.uint8), window, tool.SIDE, mask)
        assert 0 < inside.sum() < inside.numel()
        for version in ('eliminated', 'swapped'):
            assert torch.equal(crop[version][inside], crop['original'][inside])
        assert not crop['eliminated'][~inside].any()
        assert (crop['swapped'][~inside] != crop['original'][~inside]).any()
        assert not crop['by the model'].any()  # no model, no mask
        assert crop['label'] == {7: 0, 3: 7}[annotation['category_id']]


def test_the_command_makes_a_table_and_continues(tool, data, tmp_path, monkeypatch, capsys):
    _, ann_file, images = data
    torch.manual_seed(0)
    torch.save(tool.ResNet(18).state_dict(), tmp_path / 'weights.pth')
    part = [str(ann_file), str(images)]
    out = tmp_path / 'results.json'
    options = ['--epochs', '1', '--batch-size', '4', '--weights', str(tmp_path / 'weights.pth'), '--out', str(out)]
    monkeypatch.setattr(tool, 'Segmenter', lambda *files: None)
    monkeypatch.setattr(sys, 'argv', ['', '--train', *part, '--test', *part, '--seeds', '1', *options])
    tool.main()
    first, results = capsys.readouterr().out, json.loads(out.read_text())
    assert set(results) == {f'{arm} 0' for arm in tool.ARMS}
    assert f'| original | {results["original 0"]["original"]["accuracy"]:.3f} ± 0.000 |' in first
    monkeypatch.setattr(tool, 'train', None)  # nothing is trained twice
    tool.main()
    assert capsys.readouterr().out.partition('\naccuracy')[2] == first.partition('\naccuracy')[2]


def test_accuracy_counts_right_answers(tool):
    class Bright(torch.nn.Module):
        """Calls a crop the class whose number is its first byte."""

        def forward(self, crops):
            return torch.nn.functional.one_hot(crops[:, 0, 0, 0].long(), 3).float()

    crops = torch.from_numpy(np.array([0, 0, 1, 2], np.uint8))[:, None, None, None].expand(-1, 2, 2, 3)
    found = tool.accuracy(Bright(), crops, torch.tensor([0, 0, 0, 2]))
    assert found['accuracy'] == 3 / 4
    assert found['mean accuracy of the classes'] == pytest.approx((2 / 3 + 1) / 2)
