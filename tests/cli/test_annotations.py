"""Data sets through the command, with a mask source that needs no model."""

import json
import os

import cv2
import numpy as np
import pytest
from coco_data import decode, make_dataset

from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path)


def run(tmp_path, *words, source='toy_source:Threshold', images='images', ann='instances.json'):
    """Run the command; the exit code and the manifest's lines by file name."""
    argv = ['--source', source, tmp_path / images, '-o', tmp_path / 'out', '--quiet']
    argv += ['--ann', tmp_path / ann] if ann else []
    code = cli.main([*map(str, argv), '--styles', 'eliminated,mask', *words])
    manifest = tmp_path / 'out/manifest.jsonl'
    lines = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.exists() else []
    return code, {line['input'].split('images/')[-1]: line for line in lines}


def written(tmp_path):
    return json.loads((tmp_path / 'out/annotations.json').read_text())


def annotated(data, name):
    """The union of an image's annotations without crowds, bool (60, 80)."""
    image = next(image for image in data['images'] if image['file_name'] == name)
    entries = [one for one in data['annotations'] if one['image_id'] == image['id'] and not one['iscrowd']]
    return np.any([decode(one['segmentation'], (60, 80)) for one in entries], axis=0)


def without_crowds(tmp_path):
    coco = json.loads((tmp_path / 'instances.json').read_text())
    for one in coco['annotations']:
        one['iscrowd'] = 0
    (tmp_path / 'instances.json').write_text(json.dumps(coco))
    return coco


def test_no_annotated_pixel_turns_black_and_the_share_restored_is_in_the_manifest(data, tmp_path):
    data = without_crowds(tmp_path)
    code, lines = run(tmp_path)
    assert code == 0 and len(lines) == 4
    for name, line in lines.items():
        image, wanted = cv2.imread(str(tmp_path / 'images' / name)), annotated(data, name)
        found = image[..., 0] > 128
        mask = cv2.imread(str(tmp_path / 'out' / line['outputs']['mask']), cv2.IMREAD_GRAYSCALE) > 0
        np.testing.assert_array_equal(mask, found | wanted)
        assert line['restored'] == pytest.approx((wanted & ~found).sum() / wanted.sum(), abs=1e-6)
    assert any(0 < line['restored'] < 1 for line in lines.values())
    assert len(written(tmp_path)['annotations']) == len(data['annotations'])


def test_with_min_recall_only_what_falls_short_of_it_is_kept(data, tmp_path):
    data = without_crowds(tmp_path)
    code, lines = run(tmp_path, '--min-recall', '0.5')
    assert code == 0
    black = 0
    for name, line in lines.items():
        mask = cv2.imread(str(tmp_path / 'out' / line['outputs']['mask']), cv2.IMREAD_GRAYSCALE) > 0
        black += int((annotated(data, name) & ~mask).sum())
    assert black > 0


def test_one_bad_annotation_loses_itself_alone(data, tmp_path, capsys):
    data['annotations'][0]['segmentation'] = [[1, 1, 5, 1]]
    data['annotations'][1]['segmentation'] = [[10, 10, 100, 10, 100, 30, 10, 30]]
    (tmp_path / 'instances.json').write_text(json.dumps(data))
    code, lines = run(tmp_path, source='gt')
    assert code == 0 and lines['0.png']['status'] == 'ok'
    assert lines['0.png']['decisions'] == {'skipped': [1000], 'clipped': [1001]}
    assert 'annotation 1000 has a polygon of 4 numbers' in capsys.readouterr().err
    assert {one['id'] for one in written(tmp_path)['annotations']} == {one['id'] for one in data['annotations'][1:]}


def test_input_may_be_a_folder_within_the_data_set(data, tmp_path):
    """`sub/1.png` is below INPUT `images/sub` as `1.png`, and there is a `twin/1.png` in the annotations."""
    twin = {**data['images'][1], 'id': 99, 'file_name': 'twin/1.png'}
    (tmp_path / 'instances.json').write_text(json.dumps({**data, 'images': [*data['images'], twin]}))
    _, lines = run(tmp_path, source='gt', images='images/sub')
    assert lines['sub/1.png']['status'] == lines['sub/3.png']['status'] == 'ok'


def test_relative_inputs_are_matched_by_their_whole_path(data, tmp_path, monkeypatch):
    twin = {**data['images'][1], 'id': 99, 'file_name': 'twin/1.png'}
    (tmp_path / 'instances.json').write_text(json.dumps({**data, 'images': [*data['images'], twin]}))
    monkeypatch.chdir(tmp_path / 'images/sub')
    argv = ['--source', 'gt', '--ann', '../../instances.json', '.', '-o', '../../out', '--quiet']
    cli.main(argv)
    lines = [json.loads(line) for line in (tmp_path / 'out/manifest.jsonl').read_text().splitlines()]
    assert {line['input'] for line in lines if line['status'] == 'ok'} == {'1.png', '3.png'}


def test_names_that_differ_in_case_alone_are_pointed_out(data, tmp_path, capsys):
    os.rename(tmp_path / 'images/0.png', tmp_path / 'images/0.PNG')
    _, lines = run(tmp_path, '--strict', source='gt')
    assert lines['0.PNG']['status'] == 'unlabelled'
    assert '0.PNG differs from 0.png only in upper and lower case' in capsys.readouterr().err
    assert '0.PNG differs from 0.png only in upper and lower case' in lines['0.png']['error']
    capsys.readouterr()
    assert cli.main([*f'--source gt --ann {tmp_path}/instances.json {tmp_path}/images/0.PNG'.split()]) == 2
    error = capsys.readouterr().err
    assert 'none of the images' in error and 'differs from 0.png only in upper and lower case' in error


@pytest.mark.parametrize('segmentation', ['rle', 'polygon'])
def test_pseudo_labels_are_the_masks_that_were_written(data, tmp_path, segmentation):
    code, lines = run(tmp_path, '--segmentation', segmentation, ann=None)
    assert code == 0
    coco = written(tmp_path)
    assert 'solo_bg' in coco['info']['contributor']
    names = {image['id']: image['file_name'] for image in coco['images']}
    assert len(coco['annotations']) == len(lines) == 4
    for one in coco['annotations']:
        assert isinstance(one['segmentation'], dict if segmentation == 'rle' else list)
        mask = cv2.imread(str(tmp_path / 'out/mask' / names[one['image_id']]), cv2.IMREAD_GRAYSCALE) > 0
        np.testing.assert_array_equal(decode(one['segmentation'], mask.shape), mask)


def test_resume_makes_pseudo_labels_of_the_other_form_again(data, tmp_path):
    run(tmp_path, ann=None)
    run(tmp_path, '--resume', '--segmentation', 'polygon', ann=None)
    assert all(isinstance(one['segmentation'], list) for one in written(tmp_path)['annotations'])


def test_annotations_keep_their_own_form(capsys):
    with pytest.raises(SystemExit):
        parse(['c', 'w', 'i', '--ann', 'a.json', '--segmentation', 'polygon'])
    assert 'with --ann, annotations keep what they have' in capsys.readouterr().err
