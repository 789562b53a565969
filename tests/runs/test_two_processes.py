"""Two processes on one output folder: a shard that is started twice, and a merge that comes too early."""

import errno
import json
import os
from pathlib import Path

import pytest
from coco_data import make_dataset
from report_data import comparable

from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse
from solo_bg.errors import SetupError
from solo_bg.runs import locks, run_files
from solo_bg.runs.lines import Lines
from solo_bg.runs.plan import make_plan
from solo_bg.runs.run import execute
from solo_bg.runs.shards import Shard

fcntl = pytest.importorskip('fcntl')
COUNT = 30


@pytest.fixture
def words(tmp_path):
    """The command for `COUNT` small annotated images, which needs no model."""
    make_dataset(tmp_path, count=COUNT)
    ann, images = str(tmp_path / 'instances.json'), str(tmp_path / 'images')
    return ['--source', 'gt', '--ann', ann, images, '--threads', '1', '--workers', '1', '--styles', 'mask,eliminated']


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'out'


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', refuse)


@pytest.fixture
def nfs_locks(monkeypatch):
    """A file system that locks only files that were opened for writing."""
    real = fcntl.flock

    def flock(descriptor, operation):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, 'Bad file descriptor')
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, 'flock', flock)


def run(words, out, *more):
    return cli.main([*words, *more, '--quiet', '-o', str(out)])


def begin(words, out, *more, count=3):
    """Start a run and stop it in between: `count` records, and the iterator over the others."""
    settings = parse([*words, *more, '-o', str(out)]).settings
    records = execute(settings, make_plan(settings))
    return [next(records) for _ in range(count)], records


def results(out):
    """All files but run.json, the manifest as a dict without the times."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}
    del files['run.json']
    lines = [json.loads(line) for line in files['manifest.jsonl'].splitlines()]
    files['manifest.jsonl'] = {line['input']: line | {'seconds': 0} for line in lines}
    return comparable(out, files)


@pytest.fixture
def expected(words, tmp_path):
    assert run(words, tmp_path / 'one') == 0
    return results(tmp_path / 'one')


def test_a_shard_cannot_be_started_twice(words, out, expected, nfs_locks, capsys):
    _, rest = begin(words, out, '--shard', '0/2')
    assert run(words, out, '--shard', '0/2', '--resume') == 2
    assert 'shard 0/2 is already running' in capsys.readouterr().err
    assert run(words, out, '--shard', '1/2') == 0  # another shard can
    assert len(list(rest)) > 3
    assert cli.main(['--merge', str(out)]) == 0
    assert results(out) == expected


def test_without_locks_a_shard_that_was_started_twice_loses_no_record(words, out, expected, no_locks, capsys):
    _, first = begin(words, out, '--shard', '0/2')
    second = run(words, out, '--shard', '0/2', '--resume')
    try:
        list(first)
        ended = True
    except SetupError as error:
        assert 'is written by another process' in str(error)
        ended = False
    assert second == (2 if ended else 0)  # the one that writes first goes on
    assert run(words, out, '--shard', '1/2') == 0
    assert cli.main(['--merge', str(out)]) == 0
    assert results(out) == expected
    assert 'cannot be locked' in capsys.readouterr().err


def test_a_second_writer_is_noticed_at_its_first_line(tmp_path):
    first, second = Lines(tmp_path / 'a.jsonl'), Lines(tmp_path / 'a.jsonl')
    first.add({'input': 'a'})
    with pytest.raises(SetupError, match='another process'):  # the file was not there when it looked
        second.add({'input': 'b'})
    third = Lines(tmp_path / 'a.jsonl')
    third.add({'input': 'c'})
    with pytest.raises(SetupError, match='another process'):
        first.add({'input': 'd'})
    assert list(Lines(tmp_path / 'a.jsonl')) == ['a', 'c']


def test_a_run_whose_records_were_deleted_meanwhile_does_not_end(words, out, no_locks):
    _, rest = begin(words, out, '--shard', '0/2')
    (out / 'manifest-00000-of-00002.jsonl').unlink()
    with pytest.raises(SetupError, match='holds the records of 0 of'):
        list(rest)
    run_file = json.loads((out / 'run-00000-of-00002.json').read_text())
    assert run_file['end'] is None and 0 < run_file['inputs'] < COUNT


@pytest.mark.parametrize('locked', [True, False])
def test_a_merge_that_comes_too_early_changes_nothing(words, out, expected, locked, request, capsys):
    request.getfixturevalue('nfs_locks' if locked else 'no_locks')
    assert run(words, out, '--shard', '1/2') == 0
    _, rest = begin(words, out, '--shard', '0/2')
    before = {path: path.read_bytes() for path in out.glob('*.json*')}
    assert cli.main(['--merge', str(out)]) == (2 if locked else 1)
    assert ('another run is writing' if locked else 'shard 0/2 has not ended') in capsys.readouterr().err
    for path, data in before.items():  # workers that are still at work may add lines
        assert path.read_bytes().startswith(data)
    list(rest)
    assert cli.main(['--merge', str(out)]) == 0
    assert results(out) == expected


def test_a_merge_counts_the_records(words, out, capsys):
    for index in range(2):
        assert run(words, out, '--shard', f'{index}/2') == 0
    journal = out / 'manifest-00000-of-00002.jsonl'
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b''.join(lines[:-1]))  # the last record
    inputs = json.loads((out / 'run-00000-of-00002.json').read_text())['inputs']
    assert cli.main(['--merge', str(out)]) == 1
    told = f'shard 0/2 (there are records of {inputs - 1} of its {inputs} inputs) has not ended'
    assert told in capsys.readouterr().err and journal.exists() and not (out / 'run.json').exists()
    assert run(words, out, '--shard', '0/2', '--resume') == 0
    assert cli.main(['--merge', str(out)]) == 0
    assert json.loads((out / 'run.json').read_text())['inputs'] == COUNT


def test_a_merge_of_a_folder_that_does_not_exist_makes_none(tmp_path, capsys):
    assert cli.main(['--merge', str(tmp_path / 'typo')]) == 2
    assert 'there is no folder' in capsys.readouterr().err and not (tmp_path / 'typo').exists()


def test_other_processes_of_torchrun_look_when_the_first_has_prepared_the_folder(words, out, monkeypatch):
    events = []
    for name, value in {'TORCHELASTIC_RUN_ID': 'x', 'RANK': '1', 'WORLD_SIZE': '2'}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Shard, 'wait', lambda shard: events.append('wait'))
    real = run_files.read_runs
    monkeypatch.setattr(run_files, 'read_runs', lambda out: events.append('read') or real(out))
    settings = parse([*words, '--overwrite', '-o', str(out)]).settings
    assert len(list(execute(settings, make_plan(settings)))) > 3
    assert events == ['wait', 'read', 'wait', 'wait']


# ---- locks


def test_a_lock_is_exclusive_or_shared_and_leaves_no_file(tmp_path):
    path = tmp_path / 'lock'
    with locks.lock(path) as locked:
        assert locked
        for shared in (False, True):
            with pytest.raises(locks.LockedError), locks.lock(path, shared):
                pass
    assert not path.exists()
    with locks.lock(path, shared=True):
        with locks.lock(path, shared=True) as locked:
            assert locked
        assert path.exists()
        with pytest.raises(locks.LockedError), locks.lock(path):
            pass
    assert not path.exists()


def test_a_lock_file_that_its_holder_removes_meanwhile_is_not_the_lock(tmp_path, monkeypatch):
    path, real = tmp_path / 'lock', os.open
    opened = []

    def open_late(name, *more):
        opened.append(real(name, *more))
        if len(opened) == 1:
            path.unlink()  # what the last holder does between our `open` and our `flock`
        return opened[-1]

    monkeypatch.setattr(os, 'open', open_late)
    with locks.lock(path) as locked:
        assert locked and len(opened) == 2 and os.path.samestat(os.fstat(opened[1]), os.stat(path))


def test_a_lock_that_cannot_be_written_is_a_setup_error(tmp_path):
    (tmp_path / 'lock').mkdir()
    with pytest.raises(SetupError, match='cannot be written'), locks.lock(tmp_path / 'lock'):
        pass


# ---- Windows


@pytest.fixture
def windows_files(monkeypatch):
    """As on Windows: no locks, and a file that this process has opened can be neither replaced nor deleted."""
    if not os.path.isdir('/proc/self/fd'):
        pytest.skip('the open files of a process are not listed here')

    def guard(module, name, target):
        real = getattr(module, name)

        def call(path, *more, **options):
            for place in (path, *more[:target]):
                opened = [os.path.realpath(f'/proc/self/fd/{number}') for number in os.listdir('/proc/self/fd')]
                if os.path.realpath(place) in opened:
                    raise PermissionError(errno.EACCES, f'{place} is open')
            return real(path, *more, **options)

        monkeypatch.setattr(module, name, call)

    monkeypatch.setattr(locks, 'fcntl', None)
    guard(os, 'unlink', 0)
    guard(os, 'replace', 1)
    for name, target in (('unlink', 0), ('replace', 1)):
        guard(Path, name, target)


def test_no_open_file_is_replaced_or_deleted(words, out, expected, windows_files):
    assert run(words, out) == 0 and results(out) == expected
    assert run(words, out, '--resume') == 0 and results(out) == expected
    assert run(words, out, '--resume', '--styles', 'mask') == 0 and not (out / 'annotations.jsonl').exists()
    assert run(words, out, '--overwrite') == 0 and results(out) == expected
    for index in range(2):
        assert run(words, out.with_name('two'), '--shard', f'{index}/2') == 0
    assert cli.main(['--merge', str(out.with_name('two'))]) == 0
    assert results(out.with_name('two')) == expected


def test_a_run_that_fails_leaves_no_file_open(words, out, windows_files):
    (out / 'eliminated').mkdir(parents=True)
    (out / 'eliminated/mine.png').write_bytes(b'mine')
    assert run(words, out) == 2
    _, rest = begin(words, out.with_name('other'))
    rest.close()
    for path in out.with_name('other').glob('*.json*'):
        path.unlink()
