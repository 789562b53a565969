"""Runs that are stopped, killed, continued, shared among processes: in the end OUT is as one quiet run leaves it."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from conftest import CHECKPOINT, CONFIG, ROOT
from report_data import comparable

from solo_bg import pipeline
from solo_bg.cli import main as cli
from solo_bg.disk.output_names import thumbnail_path
from solo_bg.scenes import draw_scene

MODEL = [str(CONFIG), str(CHECKPOINT)]
TOOL = [sys.executable, str(ROOT / 'tools/eliminate_bg.py')]
ONE_THREAD = ['--threads', '1', '--device', 'cpu', '--quiet']


@pytest.fixture
def labelled(tmp_path):
    """The command's words for 44 small annotated images, one broken image among them, that need no model."""
    make_dataset(tmp_path, count=43)
    (tmp_path / 'images/broken.png').write_bytes(b'no image')
    coco = json.loads((tmp_path / 'instances.json').read_text())
    coco['images'].append({'id': 999, 'file_name': 'broken.png', 'height': 60, 'width': 80})
    (tmp_path / 'instances.json').write_text(json.dumps(coco))
    return ['--source', 'gt', '--ann', str(tmp_path / 'instances.json'), str(tmp_path / 'images'), *ONE_THREAD]


@pytest.fixture
def scenes(tmp_path):
    (tmp_path / 'in').mkdir()
    for seed in range(6):
        size = (96, 128) if seed % 2 else (128, 96)
        cv2.imwrite(str(tmp_path / f'in/{seed}.png'), draw_scene(seed, *size)[0])
    (tmp_path / 'in/broken.jpg').write_bytes(b'text')
    return [*MODEL, str(tmp_path / 'in'), '--on-empty', 'black', *ONE_THREAD]


def state(out):
    """All that OUT holds, but for what may differ between runs: times, the command, the host."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}
    lines = [json.loads(line) for line in files['manifest.jsonl'].splitlines()]
    files['manifest.jsonl'] = [{**line, 'seconds': 0} for line in lines]
    run = json.loads(files['run.json'])
    assert run['end'] >= run['start']
    files['run.json'] = {key: run[key] for key in run if key not in ('command', 'start', 'end', 'host', 'shards')}
    files['run.json'].pop('workers')
    return comparable(out, files)


def main(*words, out):
    return cli.main([*words, '-o', str(out)])


# ---- an OUT that is not empty


def test_results_are_not_overwritten_unasked(labelled, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(*labelled, out=out) == 1
    before = state(out)
    assert main(*labelled, out=out) == 2
    assert '--resume continues' in capsys.readouterr().err and state(out) == before
    (tmp_path / 'other/overlay').mkdir(parents=True)
    (tmp_path / 'other/overlay/mine.png').write_bytes(b'mine')
    assert main(*labelled, out=tmp_path / 'other') == 2
    assert [path.name for path in (tmp_path / 'other').rglob('*')] == ['overlay', 'mine.png']


def test_other_content_is_left_alone(labelled, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'notes.txt').write_text('mine')
    assert main(*labelled, out=out) == 1
    (out / 'eliminated/mine.png').write_bytes(b'mine')
    written = len(list((out / 'eliminated').iterdir()))
    assert main(*labelled, '--limit', '3', '--styles', 'mask', '--overwrite', out=out) == 0
    assert written > 20 and [path.name for path in (out / 'eliminated').iterdir()] == ['mine.png']
    assert len(list((out / 'mask').iterdir())) == 3 and not (out / 'overlay').exists()
    assert (out / 'notes.txt').read_text() == 'mine' and not (out / 'annotations.json').exists()


def test_two_runs_do_not_share_an_out(labelled, tmp_path, capsys):
    pytest.importorskip('fcntl')
    from solo_bg.runs.outfolder import claim

    with claim(tmp_path / 'out'):
        assert main(*labelled, '--resume', out=tmp_path / 'out') == 2
    assert 'another run is writing' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['annotations.json', 'run.json', 'annotations.jsonl'])
def test_files_of_others_by_the_names_of_ours_are_not_touched(labelled, tmp_path, name, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    (out / name).write_text('{"mine": 1}')
    for words in ([], ['--resume'], ['--overwrite'], ['--shard', '0/2']):
        assert main(*labelled, *words, out=out) == 2
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == '{"mine": 1}'


# ---- resume


def count_reads(monkeypatch):
    decoded = []
    real = pipeline.decode_image
    monkeypatch.setattr(pipeline, 'decode_image', lambda data, *more: decoded.append(data) or real(data, *more))
    return decoded


def test_resume_starts_where_nothing_is_and_then_redoes_only_failures(labelled, tmp_path, monkeypatch):
    decoded = count_reads(monkeypatch)
    assert main(*labelled, '--resume', out=tmp_path / 'out') == 1
    before = state(tmp_path / 'out')
    assert len(decoded) == 44
    decoded.clear()
    assert main(*labelled, '--resume', '--workers', '7', out=tmp_path / 'out') == 1
    assert decoded == [b'no image'] and state(tmp_path / 'out') == before


@pytest.mark.parametrize('words', [['--fill', 'noise'], ['--styles', 'overlay'], ['--dilate', '2'], ['--seed', '1']])
def test_options_that_change_results_redo_everything(labelled, tmp_path, monkeypatch, words):
    decoded = count_reads(monkeypatch)
    main(*labelled, out=tmp_path / 'out')
    decoded.clear()
    main(*labelled, *words, '--resume', out=tmp_path / 'out')
    assert len(decoded) == 44
    main(*labelled, *words, out=tmp_path / 'fresh')
    assert state(tmp_path / 'out') == state(tmp_path / 'fresh')


def test_what_changed_is_redone(labelled, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    main(*labelled, out=out)
    before = state(out)
    image = next(path for path in sorted((tmp_path / 'images').iterdir()) if path.name != 'broken.png')
    pixels = cv2.imread(str(image))
    cv2.imwrite(str(image), 255 - pixels)
    lost = sorted((out / 'overlay').iterdir())[5]
    lost.unlink()
    decoded = count_reads(monkeypatch)
    main(*labelled, '--resume', out=out)
    assert len(decoded) == 3  # the changed one, the lost one, the broken one
    changed = {name for name, data in state(out).items() if data != before[name]}
    name = image.with_suffix('.png').name
    pictures = {f'eliminated/{name}', f'overlay/{name}', thumbnail_path(str(image))}
    assert changed == pictures | {'manifest.jsonl', 'annotations.jsonl'}
    assert lost.exists()


def test_an_image_that_comes_later_may_rename_others(tmp_path):
    (tmp_path / 'in').mkdir()
    image = draw_scene(1, 64, 64)[0]
    cv2.imwrite(str(tmp_path / 'in/a.png'), image)
    words = [*MODEL, str(tmp_path / 'in'), '--on-empty', 'black', *ONE_THREAD]
    main(*words, out=tmp_path / 'out')
    cv2.imwrite(str(tmp_path / 'in/a.bmp'), 255 - image)
    main(*words, '--resume', out=tmp_path / 'out')
    main(*words, out=tmp_path / 'fresh')
    assert {path.name for path in (tmp_path / 'out/eliminated').iterdir()} == {'a.png.png', 'a.bmp.png'}
    assert state(tmp_path / 'out') == state(tmp_path / 'fresh')


def test_another_model_redoes_everything_and_another_thread_count_warns(scenes, tmp_path, monkeypatch, capsys):
    main(*scenes, out=tmp_path / 'out')
    decoded = count_reads(monkeypatch)
    main(*scenes, '--threads', '2', '--resume', out=tmp_path / 'out')
    assert decoded == [b'text']
    assert 'threads was 1 before and is 2 now' in capsys.readouterr().err
    main(*scenes, '--cfg-options', 'model.test_cfg.nms_pre=400', '--resume', out=tmp_path / 'out')
    assert len(decoded) == 1 + 7


def test_half_written_files_of_dead_processes_go(labelled, tmp_path):
    from solo_bg.disk.write import HOST
    from solo_bg.runs.outfolder import tidy

    out = tmp_path / 'out'
    main(*labelled, out=out)
    dead = subprocess.run([sys.executable, '-c', 'import os; print(os.getpid())'], capture_output=True, check=True)
    gone = [out / f'eliminated/.{HOST}-{int(dead.stdout)}-aaaaaa3.tmp', out / f'.{HOST}-{os.getpid()}-aaaaaa3.tmp']
    other, mine = out / 'eliminated/.00000000-1-aaaaaa3.tmp', out / '.mine.tmp'  # another machine's; nobody's
    for path in (*gone, other, mine):
        path.write_bytes(b'')
    tidy(out, alone=False)
    assert not any(path.exists() for path in gone) and other.exists()
    main(*labelled, '--resume', out=out)
    assert not other.exists() and mine.exists()


# ---- interruptions


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_says_how_to_go_on(labelled, tmp_path, number, code):
    out = tmp_path / 'out'
    process = start(labelled, out)
    wait_for_lines(process, out, 5)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code and '--resume to continue' in said
    assert not list(out.rglob('.*.tmp'))
    assert main(*labelled, '--resume', out=out) == 1
    main(*labelled, out=tmp_path / 'quiet')
    assert state(out) == state(tmp_path / 'quiet')


def start(words, out, *more):
    words = [*TOOL, *words, '-o', str(out), '--resume', *more]
    return subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
    )


def wait_for_lines(process, out, count):
    """Until so many lines have come to the journals, or the process has ended."""
    before = count_lines(out)
    while process.poll() is None and count_lines(out) < before + count:
        time.sleep(0.0005)


def count_lines(out):
    count = 0
    for path in out.glob('manifest*.jsonl'):
        with contextlib.suppress(FileNotFoundError):  # a merge takes the shards' away
            count += path.read_bytes().count(b'\n')
    return count


def kill_and_resume(words, tmp_path, kills, images, random):
    out = tmp_path / 'out'
    killed = 0
    for _ in range(kills):
        process = start(words, out)
        wait_for_lines(process, out, random.randint(1, 1 + 4 * images // kills))  # two lines an image
        time.sleep(random.random() * 0.005)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        if killed and random.random() < 0.3:
            with (out / 'manifest.jsonl').open('ab') as file:
                file.write(b'{"input": "to')  # what a disk may leave of a line
    assert main(*words, '--resume', out=out) == 1
    assert main(*words, out=tmp_path / 'quiet') == 1
    assert state(out) == state(tmp_path / 'quiet')
    assert not list(out.rglob('.*.tmp'))
    return killed


@pytest.mark.parametrize('kills', [4, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments(labelled, tmp_path, kills):
    assert kill_and_resume(labelled, tmp_path, kills, 44, random.Random(1)) >= kills // 2


@pytest.mark.parametrize('kills', [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_with_a_model(scenes, tmp_path, kills):
    assert kill_and_resume(scenes, tmp_path, kills, 7, random.Random(2)) >= kills // 2


# ---- several processes


def test_shards_and_a_merge_are_one_run(labelled, tmp_path, capsys):
    main(*labelled, out=tmp_path / 'one')
    for index in (2, 0, 1):
        assert main(*labelled, '--shard', f'{index}/3', out=tmp_path / 'three') in (0, 1)
    assert cli.main(['--merge', str(tmp_path / 'three')]) == 1
    assert capsys.readouterr().out.startswith('1 error, ')
    assert state(tmp_path / 'one') == state(tmp_path / 'three')
    assert main(*labelled, '--shard', '0/3', out=tmp_path / 'three') == 2


def test_one_run_completes_what_shards_began_and_shards_what_one_run_began(labelled, tmp_path, monkeypatch):
    main(*labelled, out=tmp_path / 'one')
    out = tmp_path / 'out'
    main(*labelled, '--shard', '1/2', out=out)
    decoded = count_reads(monkeypatch)
    main(*labelled, '--resume', out=out)
    assert 10 < len(decoded) < 34 and state(out) == state(tmp_path / 'one')
    decoded.clear()
    for index in range(3):
        main(*labelled, '--resume', '--shard', f'{index}/3', out=out)
    assert set(decoded) == {b'no image'}
    cli.main(['--merge', str(out)])
    assert state(out) == state(tmp_path / 'one')


def test_images_that_come_between_stay_with_their_shards(labelled, tmp_path):
    out = tmp_path / 'out'
    for index in range(2):
        main(*labelled, '--shard', f'{index}/2', out=out)
    names = sorted(path.name for path in (tmp_path / 'images').iterdir())
    (tmp_path / 'images/broken.png').unlink()
    image = cv2.imread(str(tmp_path / 'images' / names[0]))
    cv2.imwrite(str(tmp_path / 'images' / names[0]), 255 - image)
    for index in (1, 0):
        main(*labelled, '--resume', '--shard', f'{index}/2', out=out)
    assert cli.main(['--merge', str(out)]) == 0  # broken.png is still annotated, but missing is no error
    main(*labelled, out=tmp_path / 'one')
    assert state(out) == state(tmp_path / 'one')


def torchrun(words, out, *more):
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    words = [*launcher, TOOL[1], *words, '-o', str(out), *more]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def test_torchrun_makes_the_shards_itself(labelled, tmp_path, monkeypatch, capsys):
    for name, value in {'TORCHELASTIC_RUN_ID': 'x', 'RANK': '0', 'WORLD_SIZE': '1'}.items():
        monkeypatch.setenv(name, value)
    assert main(*labelled, '--shard', '0/2', out=tmp_path / 'out') == 2
    assert 'exclude each other' in capsys.readouterr().err and not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_torchrun_is_one_run(scenes, tmp_path):
    main(*scenes, out=tmp_path / 'one')
    process = torchrun(scenes, tmp_path / 'two')
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said  # though an image is broken
    assert state(tmp_path / 'one') == state(tmp_path / 'two')
    assert cli.main(['--merge', str(tmp_path / 'two')]) == 1


@pytest.mark.slow
@pytest.mark.parametrize('kills', [1, 10])
def test_torchrun_killed_at_random_moments(labelled, tmp_path, kills):
    chance, out = random.Random(3), tmp_path / 'two'
    for _ in range(kills):
        process = torchrun(labelled, out, '--resume')
        wait_for_lines(process, out, chance.randint(1, 1 + 176 // kills))
        children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(process.pid)], capture_output=True, check=False)
        victims = [*map(int, children.stdout.split()), process.pid]
        for victim in chance.sample(victims, len(victims)):
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(victim, signal.SIGKILL)
        process.communicate()
    process = torchrun(labelled, out, '--resume')
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    main(*labelled, out=tmp_path / 'one')
    assert state(out) == state(tmp_path / 'one')


@pytest.mark.slow
def test_rays_actors_are_one_run_though_one_of_them_dies(labelled, tmp_path):
    pytest.importorskip('ray')
    out = tmp_path / 'two'
    process = start(labelled, out, '--engine', 'ray')
    deadline = time.monotonic() + 200
    while not (actors := find_actors(process.pid)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert actors
    os.kill(actors[0], signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and 'broken.png' in said, said
    main(*labelled, out=tmp_path / 'one')
    assert state(out) == state(tmp_path / 'one')


@pytest.mark.slow
def test_a_run_on_ray_that_is_terminated_goes_on(labelled, tmp_path):
    pytest.importorskip('ray')
    out = tmp_path / 'two'
    process = start(labelled, out, '--engine', 'ray')
    wait_for_lines(process, out, 1)
    process.terminate()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 143 and '--resume to continue' in said, said
    main(*labelled, '--resume', out=out)
    main(*labelled, out=tmp_path / 'one')
    assert state(out) == state(tmp_path / 'one')


KILLER = """
import os, sys
sys.addaudithook(lambda event, args: os._exit(9) if event == 'open' and str(args[0]).endswith({name!r}) else None)
"""


@pytest.mark.slow
def test_an_image_that_kills_rays_actors_takes_no_other_with_it(labelled, tmp_path, monkeypatch):
    pytest.importorskip('ray')
    images = sorted(path.name for path in (tmp_path / 'images').iterdir())
    killer = images[images.index('broken.png') - 1]
    (tmp_path / 'hook').mkdir()
    (tmp_path / 'hook/sitecustomize.py').write_text(KILLER.format(name=f'/images/{killer}'))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'hook'), prepend=os.pathsep)
    process = start(labelled, tmp_path / 'out', '--engine', 'ray')
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1 and killer in said and 'died, 3 times' in said, said
    lines = [json.loads(line) for line in (tmp_path / 'out/manifest.jsonl').read_text().splitlines()]
    failed = [Path(line['input']).name for line in lines if line['status'] == 'error']
    assert len(lines) == 44 and sorted(failed) == sorted([killer, 'broken.png'])


def find_actors(driver):
    """Processes of Ray that hold a model, among the descendants of a process."""
    listed = subprocess.run(['ps', '-e', '-o', 'pid=,ppid=,args='], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    family, grown = {driver}, True
    while grown:
        more = {int(pid) for pid, parent, _ in processes if int(parent) in family} - family
        family, grown = family | more, bool(more)
    return [int(pid) for pid, _, command in processes if int(pid) in family and 'MapWorker' in command]


# ---- the same bytes


@pytest.mark.parametrize('workers', [1, 2, 8])
def test_workers_and_order_change_no_byte(scenes, tmp_path, workers):
    main(*scenes, out=tmp_path / 'one')
    images = sorted(Path(scenes[2]).iterdir())
    random.Random(workers).shuffle(images)
    words = [*MODEL, *map(str, images), *scenes[3:], '--workers', str(workers)]
    main(*words, out=tmp_path / 'other')
    assert state(tmp_path / 'one') == state(tmp_path / 'other')


MEASURE = """
import resource, sys
from pathlib import Path
from test_pipeline import Bright
from solo_bg import pipeline
from solo_bg.disk import inputs
from solo_bg.runs import journal
from solo_bg.cli import report
from solo_bg.options import Options
images = inputs.list_images([sys.argv[1]])
options, tally = Options(out=Path(sys.argv[2])), report.Tally()
options.out.mkdir()
lines = journal.Journal(options.out)
for record in pipeline.run(images, Bright(), options, earlier=lines):
    lines.add(record)
    tally.add(record)
assert tally.statuses['ok'] == len(images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_folder(tmp_path, rng):
    cv2.imwrite(str(tmp_path / 'a.png'), rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))

    def peak(count):
        (tmp_path / f'in{count}').mkdir()
        for index in range(count):
            (tmp_path / f'in{count}/{index}.png').symlink_to(tmp_path / 'a.png')
        words = [sys.executable, '-c', MEASURE, str(tmp_path / f'in{count}'), str(tmp_path / f'out{count}')]
        environment = {**os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT}/tests'}
        return int(subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout)

    few, many = peak(500), peak(5000)
    print(f'{few} MB at most over 500 images, {many} MB over 5000')
    assert many - few < 20  # a name and an index entry each; one picture of this size and its results are 1 MB


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path, monkeypatch):
    from test_pipeline import Bright, run

    class Small(Bright):
        def __call__(self, pictures):
            if len(pictures) > 2:
                raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')
            return super().__call__(pictures)

    (tmp_path / 'in').mkdir()
    for index in range(7):
        cv2.imwrite(str(tmp_path / f'in/{index}.png'), np.full((8, 8, 3), 200, np.uint8))
    source = Small()
    records = run(tmp_path / 'in', tmp_path / 'out', source, batch_size=7)
    assert [record.status for record in records] == ['ok'] * 7 and source.largest == 2
