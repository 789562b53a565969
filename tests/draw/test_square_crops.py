"""The style `crops`: square windows of one size, black outside the instance."""

import json

import cv2
import numpy as np
import torch
from coco_data import make_dataset

from solo_bg import Instances, eliminate_folder
from solo_bg.draw.styles import load_part_style


def of_masks(masks):
    return Instances(masks, torch.zeros(len(masks)).long(), torch.ones(len(masks)), ('thing',))


def test_the_instance_is_in_the_middle_and_all_else_is_black(rng):
    image = torch.from_numpy(rng.integers(1, 256, (200, 300, 3), dtype=np.uint8))
    masks = torch.zeros(2, 200, 300, dtype=torch.bool)
    masks[0, 30:62, 40:168] = True  # 128 pixels wide: not resized
    masks[1, 190:200, 290:300] = True  # its window reaches beyond the image
    first, second = load_part_style('crops')(image, of_masks(masks))
    expected = torch.zeros(224, 224, 3, dtype=torch.uint8)
    expected[96:128, 48:176] = image[30:62, 40:168]
    assert torch.equal(first.picture, expected)
    assert first.facts['window'] == [-8, -66, 216, 158] and first.facts['box'] == [40, 30, 168, 62]
    rows, columns = second.picture.any(2).nonzero().T
    assert [int(edge) for edge in (rows.min(), rows.max(), columns.min(), columns.max())] == [48, 175, 48, 175]
    assert second.facts['at_edge'] and (second.facts['width'], second.facts['height']) == (224, 224)


def test_instances_that_overlap_each_show_their_own_mask_and_empty_ones_none():
    image = torch.full((64, 64, 3), 7, dtype=torch.uint8)
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[0, 10:40, 10:40] = masks[2, 20:50, 20:50] = True
    found = load_part_style('crops')(image, of_masks(masks))
    assert [part.number for part in found] == [0, 2] and torch.equal(found[0].picture, found[1].picture)


def test_a_run_writes_and_resumes_them(tmp_path):
    make_dataset(tmp_path)
    given = {'source': 'gt', 'ann': tmp_path / 'instances.json', 'styles': ['crops'], 'workers': 1}
    records = eliminate_folder(tmp_path / 'images', out=tmp_path / 'out', **given)
    lines = [json.loads(line) for line in (tmp_path / 'out/crops.jsonl').read_text().splitlines()]
    written = sorted(path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out/crops').rglob('*.png'))
    assert sorted(line['file'] for line in lines) == written and len(written) == sum(one.instances for one in records)
    for name in written:
        assert cv2.imread(str(tmp_path / 'out' / name)).shape == (224, 224, 3)
    removed = tmp_path / 'out' / written[0]
    before = removed.read_bytes()
    removed.unlink()
    eliminate_folder(tmp_path / 'images', out=tmp_path / 'out', resume=True, **given)
    assert removed.read_bytes() == before
