"""What is in the output folder before a run, and what a run that cannot start leaves behind."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from conftest import CHECKPOINT, CONFIG

from solo_bg.cli import main as cli
from solo_bg.runs import assemble
from solo_bg.runs.run_files import write_run


@pytest.fixture
def words(tmp_path):
    make_dataset(tmp_path, count=3)
    return ['--source', 'gt', '--ann', str(tmp_path / 'instances.json'), str(tmp_path / 'images'), '--quiet']


def run(words, out, *more):
    return cli.main([*words, *more, '-o', str(out)])


def records(out):
    return [json.loads(line) for line in (Path(out) / 'manifest.jsonl').read_text().splitlines()]


def test_a_folder_that_was_made_for_nothing_is_removed_again(words, tmp_path, capsys):
    out = tmp_path / 'new/deep/out'
    assert run(words, out, '--classes', 'horse') == 2
    assert not (tmp_path / 'new').exists()
    out.mkdir(parents=True)
    assert run(words, out, '--classes', 'horse') == 2
    assert out.is_dir() and not any(out.iterdir())  # it was there before


def test_no_lock_file_stays(words, tmp_path):
    assert run(words, tmp_path / 'out') == 0
    assert run(words, tmp_path / 'two', '--shard', '0/2') == 0
    assert not list(tmp_path.glob('*/*.lock'))


def test_a_run_that_was_stopped_before_its_first_image_leaves_no_results(words, tmp_path):
    assert run(words, tmp_path / 'out') == 0
    facts = json.loads((tmp_path / 'out/run.json').read_text())
    for options in ([], ['--dilate', '3'], ['--resume'], ['--overwrite'], ['--shard', '0/2']):
        out = tmp_path / ''.join(['stopped', *options[:1]])
        out.mkdir()
        write_run(out, facts | {'end': None})
        assert run(words, out, *options) == 0


def test_a_run_that_wrote_no_picture_leaves_no_results(words, tmp_path):
    out = tmp_path / 'out'
    for path in (tmp_path / 'images').rglob('*.png'):
        path.rename(path.with_suffix('.bak'))
        path.write_bytes(b'no image')
    assert run(words, out) == 1
    for path in (tmp_path / 'images').rglob('*.bak'):
        path.rename(path.with_suffix('.png'))
    assert run(words, out, '--dilate', '1') == 0
    lines = records(out)
    assert [line['status'] for line in lines] == ['ok'] * 3
    assert run(words, out) == 2  # now there are results


def test_pictures_of_somebody_else_are_not_replaced_by_a_second_attempt(words, tmp_path, capsys):
    out = tmp_path / 'out'
    (tmp_path / 'images/0.png').write_bytes(b'no image')
    assert run([*words[:4], str(tmp_path / 'images/0.png')], out) == 1
    (out / 'overlay').mkdir()
    cv2.imwrite(str(out / 'overlay/0.png'), np.zeros((2, 2, 3), np.uint8))
    assert run(words, out) == 2
    assert 'overlay is there already' in capsys.readouterr().err


def test_a_damaged_run_file_is_an_error_that_says_what_to_do(words, tmp_path, capsys):
    assert run(words, tmp_path / 'out') == 0
    (tmp_path / 'out/run.json').write_text('{')
    assert run(words, tmp_path / 'out', '--resume') == 2
    assert 'delete it, then run again with --resume' in capsys.readouterr().err
    (tmp_path / 'out/run.json').unlink()
    assert run(words, tmp_path / 'out', '--resume') == 0


@pytest.mark.parametrize('option', ['--fill', '--mix'])
def test_a_folder_of_fills_that_does_not_exist_is_noticed_before_the_model_is_loaded(
    words, tmp_path, capsys, monkeypatch, option
):
    monkeypatch.setattr(assemble, 'make_source', lambda *more: pytest.fail('the model was loaded'))
    value = f'dir:{tmp_path}/nowhere' + (':1,zero:1' if option == '--mix' else '')
    images = str(tmp_path / 'images')
    assert cli.main([str(CONFIG), str(CHECKPOINT), images, option, value, '-o', str(tmp_path / 'out')]) == 2
    assert f'no images in {tmp_path}/nowhere to fill' in capsys.readouterr().err and not (tmp_path / 'out').exists()


# ---- images that only the annotations name


def test_a_part_of_a_data_set_is_no_failure(words, tmp_path, capsys):
    coco = json.loads((tmp_path / 'instances.json').read_text())
    coco['images'] += [{'id': 1000 + i, 'file_name': f'{i}.jpg', 'height': 9, 'width': 9} for i in range(300)]
    (tmp_path / 'instances.json').write_text(json.dumps(coco))
    out, words = tmp_path / 'out', words[:-1]
    assert run(words, out) == 0
    printed = capsys.readouterr()
    told = [line for line in printed.out.splitlines() if '300 images of' in line]
    assert len(told) == 1 and 'not in INPUT' in told[0] and '.jpg' not in printed.out + printed.err
    assert len(records(out)) == 3
    facts = json.loads((out / 'run.json').read_text())
    assert (facts['missing'], facts['inputs']) == (300, 3)
    for index in range(2):
        assert run(words, tmp_path / 'two', '--shard', f'{index}/2') == 0
    assert cli.main(['--merge', str(tmp_path / 'two')]) == 0
    facts = json.loads((tmp_path / 'two/run.json').read_text())
    assert (facts['missing'], facts['inputs']) == (300, 3)
    capsys.readouterr()
    assert run(words, out, '--resume', '--strict') == 1
    printed = capsys.readouterr()
    assert 'is in the annotations, but there is no such image' in printed.err and '300 images of' not in printed.out
    assert len(records(out)) == 303
    assert run(words, out, '--resume') == 0
    assert len(records(out)) == 3


def test_a_dry_run_counts_them_too(words, tmp_path, capsys):
    (tmp_path / 'images/0.png').unlink()
    assert run(words, tmp_path / 'out', '--dry-run') == 0
    assert '1 images of' in capsys.readouterr().out


# ---- the fill that was drawn


def test_the_manifest_names_the_fill_that_was_drawn(tmp_path, monkeypatch):
    make_dataset(tmp_path, count=12)
    monkeypatch.chdir(tmp_path)
    words = ['--source', 'gt', '--ann', 'instances.json', 'images', '--quiet', '--styles', 'eliminated,mask']
    mix = ['--mix', '255,0,0:1,0,0,255:1,noise:0']
    assert run(words, 'out', *mix) == 0
    lines = records('out')
    assert {line['fill'] for line in lines} == {'255,0,0', '0,0,255'}
    for line in lines:
        picture, mask = (cv2.imread(f'out/{line["outputs"][style]}') for style in ('eliminated', 'mask'))
        red, green, blue = map(int, line['fill'].split(','))
        assert (picture[mask[..., 0] == 0] == (blue, green, red)).all()
    before = Path('out/manifest.jsonl').read_text()
    assert run(words, 'out', *mix, '--resume') == 0 and Path('out/manifest.jsonl').read_text() == before
    assert run(words, 'plain', '--fill', 'noise') == 0
    assert not any('fill' in line for line in records('plain'))
