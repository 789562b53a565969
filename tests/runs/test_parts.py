"""A style of several pictures for each image: indexes and pictures stay together, whatever happens to the run."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from conftest import ROOT

from solo_bg import eliminate_folder, pipeline
from solo_bg.cli import main as cli
from solo_bg.coco.dataset import Annotations
from solo_bg.disk import write
from solo_bg.errors import SetupError

OPTIONS = {'source': 'gt', 'styles': ['instances', 'mask'], 'workers': 1}
CHILD = """
import sys
from pathlib import Path
from solo_bg import eliminate_folder, pipeline
left = int(sys.argv[3])
write_all = pipeline.write_all
def dies(folder, files):
    global left
    left -= 1
    if left < 0:
        first = dict(list(files.items())[:1])
        write_all(folder, first)
        import os
        os._exit(9)
    write_all(folder, files)
pipeline.write_all = dies
eliminate_folder(sys.argv[1] + '/images', ann=sys.argv[1] + '/instances.json', out=sys.argv[2], source='gt',
                 styles=['instances', 'mask'], workers=1)
"""


@pytest.fixture
def data(tmp_path):
    coco = make_dataset(tmp_path, count=4)
    coco['licenses'] = [{'id': 5, 'name': 'CC BY', 'url': 'http://licence'}]
    coco['images'][0]['license'] = 5
    (tmp_path / 'instances.json').write_text(json.dumps(coco))
    return tmp_path


def run(data, out='out', **options):
    given = {**OPTIONS, 'ann': data / 'instances.json', **options}
    return eliminate_folder(data / 'images', out=data / out, **given)


def tree(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}


def results(out):
    """The pictures and indexes, and the manifest without times."""
    kept = {name: data for name, data in tree(out).items() if name.startswith(('instances', 'mask/'))}
    lines = [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]
    return kept, [{**line, 'seconds': 0, 'key': ''} for line in lines]


def index_of(out):
    return [json.loads(line) for line in (out / 'instances.jsonl').read_text().splitlines()]


def crowds_of(annotations, entry):
    """The number of each annotated instance, and whether it is a crowd or lies in one."""
    found = annotations.read(entry, (entry['height'], entry['width']))
    crowd = np.zeros(found.instances.size, bool)
    for mask, one in zip(found.instances.masks.numpy(), found.entries, strict=True):
        crowd |= mask & bool(one['iscrowd'])
    return [(number, bool(crowd[mask].mean() > 0.5)) for number, mask in enumerate(found.instances.masks.numpy())]


def test_each_instance_is_a_picture_and_a_line(data):
    records = run(data)
    out, annotations = data / 'out', Annotations.from_file(data / 'instances.json')
    rows = index_of(out)
    assert len({row['file'] for row in rows}) == len(rows) > 4
    assert {row['crowd'] for row in rows} == {False, True}
    for row in rows:
        entry = next(one for one in annotations.coco['images'] if row['image'].endswith(one['file_name']))
        assert (row['image_height'], row['image_width']) == (entry['height'], entry['width'])
        number = int(row['file'].rpartition('_')[2].removesuffix('.png'))
        instances = annotations.read(entry, (entry['height'], entry['width'])).instances
        assert row['class'] == instances.names[number]
        x0, y0, x1, y1 = row['box']
        picture = cv2.imread(str(out / row['file']), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(picture[..., :3], cv2.imread(row['image'])[y0:y1, x0:x1])
        np.testing.assert_array_equal(picture[..., 3] > 0, instances.masks[number][y0:y1, x0:x1])
        crowd = next(one for one in crowds_of(annotations, entry) if one[0] == number)[1]
        assert row['crowd'] == crowd
        assert row['licence'] == ('http://licence' if entry.get('license') == 5 else None)
    named = {path for record in records for path in record.outputs.values()}
    assert {row['file'] for row in rows} < named
    assert named == {name for name in tree(out) if name.startswith(('instances/', 'mask/'))}
    for record in records:
        own = [json.loads(line) for line in (out / record.outputs['instances']).read_text().splitlines()]
        assert own == [row for row in rows if row['image'] == record.input]


def test_resuming_makes_only_what_is_missing(data, monkeypatch):
    run(data)
    before = results(data / 'out')
    written = []
    monkeypatch.setattr(pipeline, 'write_all', lambda out, files: written.append(files) or write.write_all(out, files))
    run(data, resume=True)
    assert written == [] and results(data / 'out') == before
    (lost := data / 'out' / index_of(data / 'out')[0]['file']).unlink()
    run(data, resume=True)
    assert len(written) == 1 and lost.exists() and results(data / 'out') == before


@pytest.mark.parametrize('done', [0, 2])
def test_a_killed_run_leaves_nothing_half_when_it_goes_on(data, done):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-c', CHILD, str(data), str(data / 'out'), str(done)]
    assert subprocess.run(command, check=False, env=environment).returncode == 9
    assert not (data / 'out/instances.jsonl').exists()
    run(data, resume=True)
    run(data, out='quiet')
    assert results(data / 'out') == results(data / 'quiet')


def test_pictures_of_fewer_instances_replace_those_of_more(data):
    run(data)
    before = set(tree(data / 'out'))
    run(data, resume=True, classes=['round'])
    run(data, out='quiet', classes=['round'])
    assert results(data / 'out') == results(data / 'quiet')
    assert set(tree(data / 'out')) < before


def test_a_picture_that_cannot_be_written_takes_the_others_of_its_image_back(data):
    run(data, out='quiet')
    path = data / 'out' / index_of(data / 'quiet')[1]['file']
    path.mkdir(parents=True)
    records = run(data, overwrite=True)
    failed = [record for record in records if record.status == 'error']
    assert len(failed) == 1 and 'cannot write' in failed[0].error
    assert not [row for row in index_of(data / 'out') if row['image'] == failed[0].input]
    assert {name for name in tree(data / 'out') if name.startswith('instances/')} == {
        path for record in records for key, path in record.outputs.items() if key.startswith('instances')
    }


def test_shards_merge_to_the_same_index(data):
    run(data, out='quiet')
    for index in (1, 0):
        argv = ['--source', 'gt', '--styles', 'instances,mask', '--ann', data / 'instances.json', data / 'images']
        assert cli.main([*map(str, argv), '-o', str(data / 'out'), '--shard', f'{index}/2', '--quiet']) == 0
    assert cli.main(['--merge', str(data / 'out')]) == 0
    assert results(data / 'out') == results(data / 'quiet')


def test_without_instances_there_is_no_picture(data):
    assert {record.status for record in run(data, classes=[], missed='drop')} == {'empty'}
    assert not (data / 'out/instances').exists() and not (data / 'out/instances.jsonl').exists()
    records = run(data, classes=[], missed='drop', on_empty='copy', overwrite=True)
    assert index_of(data / 'out') == [] and all(record.outputs.keys() == {'instances', 'mask'} for record in records)


def test_a_run_without_the_style_removes_its_index_and_overwriting_removes_all(data):
    run(data)
    (data / 'out/instances/yours.txt').write_text('')
    run(data, styles=['mask'], resume=True)
    assert [name for name in tree(data / 'out') if name.startswith('instances')] == ['instances/yours.txt']
    run(data, styles=['instances'], resume=True)
    run(data, styles=['mask'], overwrite=True)
    assert [name for name in tree(data / 'out') if name.startswith('instances')] == ['instances/yours.txt']


def test_an_index_that_is_not_ours_is_not_replaced(data):
    (data / 'out').mkdir()
    (data / 'out/instances.jsonl').write_text('yours')
    with pytest.raises(SetupError, match='move it away'):
        run(data)


def test_an_input_among_the_results_is_not_replaced(data):
    run(data)
    given = str(data / 'out' / index_of(data / 'out')[0]['file'])
    with pytest.raises(SetupError, match='might replace the input'):
        eliminate_folder([data / 'images', given], out=data / 'out', source='otsu', styles=['instances'], resume=True)


def test_jpeg_has_no_alpha_and_the_plan_estimates_the_size(data, capsys):
    records = run(data, format='jpg', styles=['instances', 'eliminated'])
    assert {path.rpartition('.')[2] for path in records[0].outputs.values()} == {'png', 'jsonl', 'jpg'}
    argv = ['--source', 'otsu', '--styles', 'instances', '--format', 'webp', '--dry-run', data / 'images']
    assert cli.main(list(map(str, argv))) == 0
    printed = capsys.readouterr().out
    assert '-> instances/' in printed and '.jsonl' in printed and 'MB' in printed


@pytest.mark.slow
def test_ray_writes_the_same_index(data):
    pytest.importorskip('ray')
    run(data, engine='ray')
    run(data, out='quiet')
    assert results(data / 'out') == results(data / 'quiet')
