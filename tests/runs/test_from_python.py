"""`eliminate_folder` does what the command does."""

import inspect
import json
import logging
import subprocess
import sys
from dataclasses import asdict, fields

import pytest
from coco_data import make_dataset
from report_data import comparable

import solo_bg
from solo_bg import SetupError, eliminate_folder
from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse
from solo_bg.runs.from_python import make_settings
from solo_bg.runs.settings import Settings
from solo_bg.scenes import draw_scene


@pytest.fixture
def photos(tmp_path):
    import cv2

    (tmp_path / 'photos').mkdir()
    for seed in (1, 2):
        cv2.imwrite(str(tmp_path / f'photos/{seed}.png'), draw_scene(seed, 96, 128)[0])
    (tmp_path / 'photos/broken.jpg').write_bytes(b'text')
    return tmp_path / 'photos'


def files(out):
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}
    run = json.loads(found.pop('run.json'))
    lines = [json.loads(line) for line in found['manifest.jsonl'].splitlines()]
    found['manifest.jsonl'] = [line | {'seconds': 0} for line in lines]
    return comparable(out, found) | {'key': run['key'], 'inputs': run['inputs']}


def test_the_bundled_model_and_the_same_bytes_as_the_command(photos, tmp_path, capfd, caplog):
    seen = []
    records = eliminate_folder(
        photos, out=tmp_path / 'python', on_empty='black', styles='mask', device='cpu', on_record=seen.append
    )
    printed = capfd.readouterr()
    assert printed.out == printed.err == '' and not caplog.records  # a notebook stays quiet
    model = [str(solo_bg.bundled.CONFIG), str(solo_bg.bundled.CHECKPOINT)]
    words = ['--on-empty', 'black', '--styles', 'mask', '--device', 'cpu', '--quiet']
    assert cli.main([*model, str(photos), *words, '-o', str(tmp_path / 'command')]) == 1
    assert files(tmp_path / 'python') == files(tmp_path / 'command')
    lines = [json.loads(line) for line in (tmp_path / 'python/manifest.jsonl').read_text().splitlines()]
    assert [record.facts() for record in records] == lines
    assert sorted(seen, key=lambda record: record.input) == records
    assert [record.status for record in records].count('error') == 1


def test_warnings_are_logged(tmp_path, caplog):
    make_dataset(tmp_path, count=2)
    options = {'source': 'gt', 'ann': str(tmp_path / 'instances.json'), 'out': str(tmp_path / 'out'), 'threads': 1}
    assert [record.status for record in eliminate_folder([tmp_path / 'images'], **options)] == ['ok', 'ok']
    with caplog.at_level(logging.WARNING, 'solo_bg'):
        again = eliminate_folder(tmp_path / 'images', **options | {'threads': 2}, resume=True)
    assert all(record.before and record.carried is None for record in again)
    assert [record.getMessage().partition(';')[0] for record in caplog.records] == ['threads was 1 before and is 2 now']


def as_json(settings):
    return json.loads(json.dumps(asdict(settings), default=str))  # a tuple is a list there


def test_options_are_those_of_the_command():
    words = ['c.py', 'w.pth', 'in', '--styles', 'mask', '--fill', 'mean', '--seed', '3', '--format', 'JPEG', '-o', 'x']
    options = {'styles': 'mask', 'fill': 'mean', 'seed': 3, 'format': 'jpeg', 'out': 'x'}
    assert as_json(make_settings('in', 'c.py', 'w.pth', options)) == as_json(parse(words).settings)
    assert as_json(make_settings(['in'], 'c.py', 'w.pth', {})) == as_json(parse(words[:3]).settings)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'score_th': 0.4}, "there is no option 'score_th'; did you mean 'score_thr'"),
        ({'zzz': 1}, r"there is no option 'zzz'\. The options are out, "),
        ({'score_thr': 1.5}, r'score_thr expected a number from 0 to 1, got 1\.5'),
        ({'batch_size': 0}, 'batch_size expected a whole number of at least 1, got 0'),
        ({'batch_size': '2'}, "batch_size expected a whole number of at least 1, got '2'"),
        ({'quality': 95.5}, r'quality expected a whole number from 1 to 100, got 95\.5'),
        ({'frames': 'every:5'}, "frames expected a whole number of at least 1, got 'every:5'"),
        ({'mix': 'zero:0.5,noise:0.5'}, r"mix expected pairs such as .*, got 'zero:0\.5,noise:0\.5'"),
        ({'mix': {'zero': 0.5}}, 'mix expected pairs such as'),
        ({'shard': '0/2'}, r"shard expected .* such as Shard\(0, 4\), got '0/2'"),
        ({'styles': 'sepia'}, 'no style named sepia'),
        ({'on_empty': 'maybe'}, 'on_empty expected one of skip, black, copy'),
        ({'checkpoint': 'w.pth'}, 'needs a config and a checkpoint'),
    ],
)
def test_wrong_options_are_named(photos, tmp_path, options, message):
    with pytest.raises(SetupError, match=message):
        eliminate_folder(photos, **{'out': tmp_path / 'out', **options})
    assert not (tmp_path / 'out').exists()


def test_every_option_is_documented_and_in_the_signature():
    names = {one.name for one in fields(Settings)}
    parameters = inspect.signature(eliminate_folder).parameters
    assert names | {'on_record'} == set(parameters)
    assert parameters['score_thr'].default == 0.3 and parameters['out'].kind is inspect.Parameter.KEYWORD_ONLY
    assert not [name for name in names if name not in eliminate_folder.__doc__]


def test_importing_it_is_light():
    code = "import sys, solo_bg; solo_bg.eliminate_folder; assert not {'torch', 'mmdet', 'cv2'} & set(sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
