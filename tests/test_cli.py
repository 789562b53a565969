import json
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import CHECKPOINT, CONFIG, ROOT

from solo_bg import cli
from solo_bg.scenes import draw_scene

MODEL = [str(CONFIG), str(CHECKPOINT)]


@pytest.fixture
def scenes(tmp_path):
    (tmp_path / 'in').mkdir()
    for seed in (1, 2):
        cv2.imwrite(str(tmp_path / f'in/{seed}.png'), draw_scene(seed, 96, 128)[0])
    return tmp_path / 'in'


def manifest(out):
    return [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]


# ---- exit codes, in this process


def test_all_done_is_0(scenes, tmp_path, capsys):
    assert cli.main([*MODEL, str(scenes), '-o', str(tmp_path / 'out'), '--on-empty', 'black', '--device', 'cpu']) == 0
    lines = manifest(tmp_path / 'out')
    assert [line['input'] for line in lines] == [f'{scenes}/1.png', f'{scenes}/2.png']
    assert all((tmp_path / 'out' / path).exists() for line in lines for path in line['outputs'].values())
    printed = capsys.readouterr()
    assert 'done' in printed.out and '2/2 images' in printed.err
    model = json.loads((tmp_path / 'out/run.json').read_text())['model']
    assert model['threads'] >= 1 and (model['device'], model['precision'], model['lazy']) == ('cpu', 'fp32', True)


def test_the_head_and_the_precision_can_be_chosen(scenes, tmp_path):
    options = ['--device', 'cpu', '--stock-head', '--precision', 'bf16', '--on-empty', 'black', '--quiet']
    assert cli.main([*MODEL, str(scenes), '-o', str(tmp_path / 'out'), *options]) == 0
    model = json.loads((tmp_path / 'out/run.json').read_text())['model']
    assert (model['precision'], model['lazy']) == ('bf16', False)


def test_some_failed_is_1_and_the_others_are_written(scenes, tmp_path, capsys):
    (scenes / 'broken.jpg').write_bytes(b'text')
    missing = str(tmp_path / 'missing.png')
    code = cli.main([*MODEL, str(scenes), missing, '-o', str(tmp_path / 'out'), '--quiet', '--on-empty', 'copy'])
    assert code == 1
    by_status = {line['input']: line['status'] for line in manifest(tmp_path / 'out')}
    assert by_status[missing] == by_status[f'{scenes}/broken.jpg'] == 'error'
    assert len(list((tmp_path / 'out/eliminated').iterdir())) == 2
    printed = capsys.readouterr()
    assert printed.out == '' and 'missing.png: cannot be read' in printed.err


def wrong_config(path):
    (path / 'bad.py').write_text(
        'model = dict(type="NoSuchDetector")\ntest_dataloader = dict(dataset=dict(pipeline=[]))'
    )
    return [str(path / 'bad.py'), str(CHECKPOINT)]


def unfinished_config(path):
    (path / 'bad.py').write_text('model = dict(')
    return [str(path / 'bad.py'), str(CHECKPOINT)]


def empty_config(path):
    (path / 'bad.py').write_text('a = 1')
    return [str(path / 'bad.py'), str(CHECKPOINT)]


@pytest.mark.parametrize(
    ('model', 'options', 'message'),
    [
        (MODEL, ['--device', 'cuda:99'], 'cuda:99 was asked for'),
        (MODEL, ['--cfg-options', 'a=[1,2'], 'cannot be read'),
        (MODEL, ['--classes', 'object,horse'], 'no class named horse; the classes are object'),
        ([str(CONFIG), 'nothing.pth'], [], 'no checkpoint at nothing.pth'),
        (['nothing.py', str(CHECKPOINT)], [], 'no config at nothing.py'),
        ([str(CONFIG), str(CONFIG)], [], 'configs/solo_bg_tiny.py'),
        (wrong_config, [], 'NoSuchDetector'),
        (unfinished_config, [], 'cannot be read'),
        (empty_config, [], 'has no `model`'),
        (MODEL, ['--cfg-options', 'model.mask_head.num_classes=3'], 'does not fit the config'),
        (MODEL, ['--cfg-options', 'model.mask_head.num_grids.9=3'], 'takes no such overrides'),
    ],
)
def test_what_cannot_start_is_2_and_one_line(scenes, tmp_path, capsys, model, options, message):
    model = model(tmp_path) if callable(model) else model
    assert cli.main([*model, str(scenes), '-o', str(tmp_path / 'out'), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not any((tmp_path / 'out').glob('*'))


def test_no_images_is_2(tmp_path, capsys):
    assert cli.main([*MODEL, str(tmp_path), str(tmp_path / 'missing.png')]) == 2
    assert 'no images in' in capsys.readouterr().err


def test_an_out_that_cannot_be_written_is_2_at_once(scenes, tmp_path, capsys):
    (tmp_path / 'file').write_bytes(b'')
    assert cli.main([*MODEL, str(scenes), '-o', str(tmp_path / 'file')]) == 2
    assert 'results cannot go to' in capsys.readouterr().err


def test_results_never_replace_an_input(scenes, tmp_path, capsys):
    (tmp_path / 'eliminated').mkdir()
    before = (scenes / '1.png').read_bytes()
    (scenes / '1.png').rename(tmp_path / 'eliminated/1.png')
    assert cli.main([*MODEL, str(tmp_path / 'eliminated'), '-o', str(tmp_path)]) == 2
    assert 'would replace an input' in capsys.readouterr().err
    assert (tmp_path / 'eliminated/1.png').read_bytes() == before


def test_a_second_run_does_not_read_the_first_ones_results(scenes, capsys):
    for _ in range(2):
        assert cli.main([*MODEL, str(scenes), '-o', str(scenes / 'out [x]'), '--on-empty', 'copy']) == 0
        assert len(manifest(scenes / 'out [x]')) == 2
    assert f'results in {scenes}/out [x]\n' in capsys.readouterr().out


def test_limit_comes_after_the_search(scenes, tmp_path):
    missing = str(tmp_path / 'a_missing.png')
    assert cli.main([*MODEL, missing, str(scenes), '-o', str(tmp_path / 'out'), '--limit', '1', '--quiet']) == 1


def test_limit_and_dry_run(scenes, tmp_path, capsys):
    out = tmp_path / 'out'
    assert cli.main([*MODEL, str(scenes), '-o', str(out), '--dry-run', '--styles', 'mask,cutout']) == 0
    printed = capsys.readouterr().out
    assert f'{scenes}/1.png -> mask/1.png, cutout/1.png' in printed and 'MB' in printed and not out.exists()
    assert cli.main([*MODEL, str(scenes), '-o', str(out), '--limit', '1', '--quiet']) == 0
    assert [line['input'] for line in manifest(out)] == [f'{scenes}/1.png']


def test_an_interrupt_leaves_a_manifest(scenes, tmp_path, monkeypatch):
    from solo_bg import pipeline

    real = pipeline.run

    def interrupted(*args):
        yield next(real(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, 'run', interrupted)
    assert cli.main([*MODEL, str(scenes), '-o', str(tmp_path / 'out'), '--quiet']) == 130
    assert len(manifest(tmp_path / 'out')) == 1


# ---- the command itself


def command(*argv, module=False):
    start = ['-m', 'solo_bg'] if module else [str(ROOT / 'tools/eliminate_bg.py')]
    return subprocess.run([sys.executable, *start, *map(str, argv)], capture_output=True, text=True, check=False)


def test_the_command_prints_no_noise(scenes, tmp_path):
    done = command(*MODEL, scenes, '-o', tmp_path / 'out')
    assert done.returncode == 0
    assert done.stderr.strip().startswith('2/2 images'), done.stderr
    assert len(done.stderr.splitlines()) == 1 and 'OneDL' not in done.stdout


def test_the_command_goes_on_after_a_failure(scenes, tmp_path):
    (scenes / 'broken.jpg').write_bytes(b'text')
    done = command(*MODEL, scenes, '-o', tmp_path / 'out', '--quiet')
    assert done.returncode == 1 and 'broken.jpg: is no image' in done.stderr
    assert len(manifest(tmp_path / 'out')) == 3


def test_the_command_fails_in_one_line(tmp_path):
    done = command('a', 'b', 'c', module=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_one_pixel_and_slivers_are_done_or_reported(tmp_path):
    """Extreme shapes go through the model or become one line each; they never stop the run."""
    (tmp_path / 'in').mkdir()
    for height, width in ((1, 1), (1, 3000), (3000, 1), (2, 2)):
        image = np.full((height, width, 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / f'in/{height}x{width}.png'), image)
    cli.main([*MODEL, str(tmp_path / 'in'), '-o', str(tmp_path / 'out'), '--quiet', '--on-empty', 'black'])
    lines = manifest(tmp_path / 'out')
    assert len(lines) == 4
    for line in lines:
        assert line['error'] if line['status'] == 'error' else len(line['outputs']) == 2
    assert next(line for line in lines if '1x1.' in line['input'])['status'] != 'error'


def test_progress_lines_where_there_is_no_terminal(capsys):
    for _ in cli.show_lines(iter(range(3)), 3, every=0.0):
        time.sleep(0.001)
    assert capsys.readouterr().err.count('images/s') == 3


def test_progress_bar_passes_everything_on():
    assert list(cli.show_bar(iter(range(5)), 5)) == list(range(5))
