import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from conftest import BUNDLED_CLASSES, CHECKPOINT, CONFIG, ROOT
from findable import save_weights
from pycocotools.coco import COCO

from solo_bg.cli import main as cli
from solo_bg.cli import report
from solo_bg.models import find, zoo
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
    run = json.loads((tmp_path / 'out/run.json').read_text())
    model = run['depends']['source']
    assert (run['device'], model['precision'], model['lazy']) == ('cpu', 'fp32', True) and run['threads'] >= 1
    assert model['checkpoint'] == hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()


def test_the_head_and_the_precision_can_be_chosen(scenes, tmp_path):
    options = ['--device', 'cpu', '--stock-head', '--precision', 'bf16', '--on-empty', 'black', '--quiet']
    small = ['--limit', '1', '--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=(96,64)']  # bf16 is slow here
    assert cli.main([*MODEL, str(scenes), '-o', str(tmp_path / 'out'), *options, *small]) == 0
    model = json.loads((tmp_path / 'out/run.json').read_text())['depends']['source']
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
        (MODEL, ['--classes', 'object,horse'], 'no class named horse; the classes are person, vehicle'),
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
        assert cli.main([*MODEL, str(scenes), '-o', str(scenes / 'out [x]'), '--on-empty', 'copy', '--overwrite']) == 0
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
    assert [line['status'] for line in manifest(tmp_path / 'out')].count('ok') == 1


# ---- the command itself


def command(*argv, module=False):
    start = ['-m', 'solo_bg'] if module else [str(ROOT / 'tools/eliminate_bg.py')]
    return subprocess.run([sys.executable, *start, *map(str, argv)], capture_output=True, text=True, check=False)


def test_the_command_goes_on_after_a_failure_and_prints_no_noise(scenes, tmp_path):
    (scenes / 'broken.jpg').write_bytes(b'text')
    done = command(*MODEL, scenes, '-o', tmp_path / 'out')
    assert done.returncode == 1
    progress = r'([12]/3 images, [\d.]+ images/s\n)*3/3 images, [\d.]+ images/s\n'
    assert re.fullmatch(progress + r'[^\n]*is not an image[^\n]*\n', done.stderr), done.stderr
    assert 'OneDL' not in done.stdout
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


def test_names_of_any_bytes_are_printed_in_one_line(tmp_path):
    name = 'a\nb\x1b[31m\udce9 é.png'
    try:
        (tmp_path / name).write_bytes(b'text')
    except OSError:
        pytest.skip('no such names here')
    for more, code in ((['--dry-run'], 0), ([], 1)):
        command = [sys.executable, str(ROOT / 'tools/eliminate_bg.py'), '--source', 'otsu', tmp_path, '-o', 'o', *more]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, encoding='utf-8')
        assert done.returncode == code
        assert 'a\\nb\\x1b[31m\\udce9 é.png' in done.stdout + done.stderr


def test_progress_lines_where_there_is_no_terminal(capsys):
    for _ in report.show_lines(iter(range(3)), 3, every=0.0):
        time.sleep(0.001)
    assert capsys.readouterr().err.count('images/s') == 3


def test_progress_bar_passes_everything_on():
    assert list(report.show_bar(iter(range(5)), 5)) == list(range(5))


# ---- models by name


def test_a_config_by_name(scenes, tmp_path):
    name = 'decoupled-solo-light_r50_fpn_3x_coco'
    save_weights(zoo.find(name).config, tmp_path / 'a.pth', draw_scene(1, 96, 128)[0], 20)
    argv = [name, tmp_path / 'a.pth', scenes, '-o', tmp_path / 'out', '--score-thr', '0', '--device', 'cpu', '--quiet']
    options = ['--cfg-options', 'test_dataloader.dataset.pipeline.1.scale=(128,96)']
    assert cli.main([*map(str, argv), *options]) == 0
    assert any(line['instances'] for line in manifest(tmp_path / 'out'))


def test_weights_that_are_there_are_taken(tmp_path, monkeypatch):
    model = zoo.find('solo_r50_fpn_1x_coco')
    (tmp_path / model.file_name).write_bytes(b'weights')
    assert find.fetch_weights(model, tmp_path) == tmp_path / model.file_name
    monkeypatch.setattr(find, 'fetch_weights', lambda model: f'weights of {model.name}')
    config = str(model.config)
    assert find.find_config(model.name) == find.find_config(config) == config
    assert find.find_weights(model.name, 'auto') == find.find_weights(config, 'auto') == f'weights of {model.name}'
    assert find.find_weights(model.name, 'a.pth') == find.find_weights(config, 'a.pth') == 'a.pth'


def test_no_network_is_2_and_says_what_to_do(scenes, tmp_path, capsys, monkeypatch):
    model = replace(zoo.find('solo_r50_fpn_1x_coco'), weights='http://127.0.0.1:9/solo-2290a6b8.pth')
    monkeypatch.setattr(zoo, 'find', lambda name: model)
    monkeypatch.setattr(find.fetch_weights, '__defaults__', (tmp_path,))
    assert cli.main(['solo_r50_fpn_1x_coco', 'auto', str(scenes), '-o', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert 'http://127.0.0.1:9/solo-2290a6b8.pth cannot be reached' in error
    assert f'bring it to {tmp_path}/solo-2290a6b8.pth' in error


def test_a_name_that_nobody_knows_is_2(scenes, tmp_path, capsys):
    assert cli.main(['solo_r50_fpn_2x_coco', 'auto', str(scenes), '-o', str(tmp_path / 'out')]) == 2
    assert 'solo_r50_fpn_1x_coco' in capsys.readouterr().err


# ---- with annotations


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path)


def run_gt(tmp_path, *options):
    argv = ['--source', 'gt', '--ann', tmp_path / 'instances.json', tmp_path / 'images', '-o', tmp_path / 'out']
    return cli.main([*map(str, argv), '--workers', '2', *options])


def test_annotations_alone_need_no_model(data, tmp_path, capsys):
    assert run_gt(tmp_path) == 0
    lines = manifest(tmp_path / 'out')
    assert [line['status'] for line in lines] == ['ok'] * 4 and all(line['iou'] == 1 for line in lines)
    assert set(lines[0]['classes']) <= {'round', 'other'}
    run_json = json.loads((tmp_path / 'out/run.json').read_text())
    assert run_json['depends']['source'] == {'name': 'gt'} and run_json['workers'] == 2


def test_files_and_annotations_that_do_not_meet(data, tmp_path, capsys):
    (tmp_path / 'images/0.png').unlink()
    cv2.imwrite(str(tmp_path / 'images/new.png'), np.zeros((5, 5, 3), np.uint8))
    assert run_gt(tmp_path, '--strict') == 1
    status = {line['input'].removeprefix(f'{tmp_path}/images/'): line['status'] for line in manifest(tmp_path / 'out')}
    assert status == {'0.png': 'missing', '2.png': 'ok', 'new.png': 'unlabelled', 'sub/1.png': 'ok', 'sub/3.png': 'ok'}
    written = json.loads((tmp_path / 'out/annotations.json').read_text())
    assert sorted(image['id'] for image in written['images']) == [51, 52, 53]
    assert not (tmp_path / 'out/eliminated/new.png').exists()
    printed = capsys.readouterr()
    assert '0.png: is in the annotations' in printed.err and 'unlabelled' in printed.out and 'missing' in printed.out


def test_images_of_one_path_below_several_inputs_are_ambiguous(data, tmp_path, capsys):
    shutil.copytree(tmp_path / 'images', tmp_path / 'more')
    (tmp_path / 'more/0.png').unlink()
    assert run_gt(tmp_path, str(tmp_path / 'more')) == 1
    status = [line['status'] for line in manifest(tmp_path / 'out')]
    assert status.count('error') == 6 and status.count('ok') == 1
    assert 'has the same path below INPUT as another image' in capsys.readouterr().err


def test_an_input_that_is_not_there_fails_with_annotations_too(data, tmp_path, capsys):
    assert run_gt(tmp_path, str(tmp_path / 'nowhere')) == 1
    assert 'nowhere: cannot be read' in capsys.readouterr().err


def test_annotations_of_other_images_are_2(data, tmp_path, capsys):
    for image in data['images']:
        image['file_name'] = f'x{image["id"]}.png'
    (tmp_path / 'instances.json').write_text(json.dumps(data))
    assert run_gt(tmp_path) == 2
    assert 'none of the images in' in capsys.readouterr().err


def test_the_given_annotations_are_never_replaced(data, tmp_path, capsys):
    shutil.move(tmp_path / 'instances.json', tmp_path / 'annotations.json')
    before = (tmp_path / 'annotations.json').read_bytes()
    argv = ['--source', 'gt', '--ann', tmp_path / 'annotations.json', tmp_path / 'images', '-o', tmp_path]
    assert cli.main(list(map(str, argv))) == 2
    assert 'would replace' in capsys.readouterr().err and (tmp_path / 'annotations.json').read_bytes() == before


def test_a_copied_image_keeps_its_annotations(data, tmp_path):
    argv = [
        *MODEL,
        tmp_path / 'images',
        '--ann',
        tmp_path / 'instances.json',
        '-o',
        tmp_path / 'out',
        '--score-thr',
        '1',
    ]
    options = ['--missed', 'drop', '--on-empty', 'copy', '--device', 'cpu', '--quiet']
    assert cli.main([*map(str, argv), *options]) == 0
    written = json.loads((tmp_path / 'out/annotations.json').read_text())
    left = {one['id'] for one in written['annotations']}
    for line in manifest(tmp_path / 'out'):
        if line['status'] == 'empty':
            entry = next(one for one in data['images'] if line['input'].endswith(f'images/{one["file_name"]}'))
            assert {one['id'] for one in data['annotations'] if one['image_id'] == entry['id']} <= left
            assert line['decisions'] == {}


def test_the_union_of_model_and_annotations(data, tmp_path):
    argv = [*MODEL, tmp_path / 'images', '--ann', tmp_path / 'instances.json', '-o', tmp_path / 'out']
    options = ['--source', 'union', '--device', 'cpu', '--styles', 'mask', '--quiet']
    assert cli.main([*map(str, argv), *options]) == 0
    assert run_gt(tmp_path, '-o', str(tmp_path / 'gt'), '--styles', 'mask', '--quiet') == 0
    more = 0
    for line in manifest(tmp_path / 'out'):
        both, annotated = (cv2.imread(str(tmp_path / where / line['outputs']['mask'])) > 0 for where in ('out', 'gt'))
        assert both[annotated].all()
        more += int(both.sum()) - int(annotated.sum())
    assert more > 0


COCO_MINI = os.environ.get('SOLO_BG_COCO_MINI')  # a folder with annotations/instances_train2017.json and train2017/


@pytest.mark.skipif(not COCO_MINI, reason='SOLO_BG_COCO_MINI names no folder')
def test_coco_mini(tmp_path):
    """Real photographs: everything outside the annotated masks, recomputed with pycocotools, is 0."""
    ann, images = Path(COCO_MINI) / 'annotations/instances_train2017.json', Path(COCO_MINI) / 'train2017'
    assert cli.main(['--source', 'gt', '--ann', str(ann), str(images), '-o', str(tmp_path / 'out'), '--quiet']) == 0
    coco = COCO(str(tmp_path / 'out/annotations.json'))
    empty = [Path(line['input']).stem for line in manifest(tmp_path / 'out') if line['status'] == 'empty']
    assert len(coco.imgs) == 98 and sorted(map(int, empty)) == [250, 508]
    for image_id, image in coco.imgs.items():
        union = np.any([coco.annToMask(one) for one in coco.imgToAnns[image_id]], axis=0)
        original = cv2.imread(str(images / f'{Path(image["file_name"]).stem}.jpg'))
        written = cv2.imread(str(tmp_path / 'out/eliminated' / image['file_name']))
        np.testing.assert_array_equal(written, original * union[..., None])


def test_an_image_that_its_annotations_do_not_fit_is_an_error_of_its_own(data, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'images/0.png'), np.zeros((5, 5, 3), np.uint8))
    assert run_gt(tmp_path) == 1
    assert [line['status'] for line in manifest(tmp_path / 'out')] == ['error', 'ok', 'ok', 'ok']
    assert 'it is 5x5, but image 50 of the annotations is 80x60' in capsys.readouterr().err


@pytest.mark.parametrize('rule', ['keep', 'ignore', 'drop'])
def test_missed_objects(data, tmp_path, capsys, rule):
    """Nothing has a score above 1, so all is missed."""
    images = tmp_path / 'images'
    argv = [*MODEL, images, '--ann', tmp_path / 'instances.json', '-o', tmp_path / 'out', '--score-thr', '1']
    options = ['--missed', rule, '--on-empty', 'black', '--device', 'cpu']
    assert cli.main([*map(str, argv), *options]) == 0
    crowds = {one['id'] for one in data['annotations'] if one['iscrowd']}
    objects = {one['id'] for one in data['annotations']} - crowds
    decided = {number for line in manifest(tmp_path / 'out') for number in line['decisions'][rule]}
    assert decided == objects
    written = json.loads((tmp_path / 'out/annotations.json').read_text())
    left = {one['id']: one for one in written['annotations']}
    assert set(left) == (crowds if rule == 'drop' else crowds | objects)
    assert all(left[number]['iscrowd'] == (rule == 'ignore') for number in objects & set(left))
    assert f'annotations: {rule}' in ' '.join(capsys.readouterr().out.split())


def test_images_that_agree_too_little_are_rejected(data, tmp_path):
    argv = [*MODEL, tmp_path / 'images', '--ann', tmp_path / 'instances.json', '-o', tmp_path / 'out', '--min-iou', '1']
    assert cli.main([*map(str, argv), '--device', 'cpu', '--quiet']) == 0
    lines = manifest(tmp_path / 'out')
    assert {line['status'] for line in lines} == {'rejected'} and not any(line['outputs'] for line in lines)
    assert not (tmp_path / 'out/eliminated').exists()
    assert json.loads((tmp_path / 'out/annotations.json').read_text())['images'] == []


def test_without_annotations_the_predictions_are_written(scenes, tmp_path):
    argv = [*MODEL, scenes, '-o', tmp_path / 'out', '--device', 'cpu', '--quiet', '--dilate', '2']
    assert cli.main(list(map(str, argv))) == 0
    coco = json.loads((tmp_path / 'out/annotations.json').read_text())
    lines = [line for line in manifest(tmp_path / 'out') if line['status'] == 'ok']
    assert [image['file_name'] for image in coco['images']] == [Path(line['input']).name for line in lines]
    assert len(coco['annotations']) == sum(line['instances'] for line in lines) > 0
    assert coco['categories'] == [{'id': one, 'name': name} for one, name in enumerate(BUNDLED_CLASSES, 1)]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'cannot be read'),
        ('{', 'is not JSON'),
        ('[]', 'no COCO data set'),
        ('{"images": [], "annotations": [], "categories": []}', 'the list is empty'),
    ],
)
def test_annotations_that_cannot_be_used_are_2(data, tmp_path, capsys, content, message):
    (tmp_path / 'instances.json').unlink()
    if content is not None:
        (tmp_path / 'instances.json').write_text(content)
    assert run_gt(tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error and 'instances.json' in error and len(error.splitlines()) == 1


def test_classes_that_neither_side_knows_are_2(data, tmp_path, capsys):
    assert run_gt(tmp_path, '--classes', 'cat') == 2
    assert 'no class named cat; the classes are round, other' in capsys.readouterr().err


@pytest.mark.parametrize('fill', ['dataset-mean', 'mix', 'dir'])
def test_fills_that_need_more_than_the_image(data, tmp_path, fill):
    files = [tmp_path / 'images' / image['file_name'] for image in data['images']]
    options = {'dataset-mean': ['--fill', 'dataset-mean'], 'mix': ['--mix', '1,1,1:1,9,8,7:0'], 'dir': []}
    if fill == 'dir':
        (tmp_path / 'other').mkdir()
        cv2.imwrite(str(tmp_path / 'other/a.png'), np.full((3, 4, 3), (5, 6, 7), np.uint8))
        options['dir'] = ['--fill', f'dir:{tmp_path}/other']
    expected = {'mix': (1, 1, 1), 'dir': (5, 6, 7)}
    expected['dataset-mean'] = np.rint(np.concatenate([cv2.imread(str(file)).reshape(-1, 3) for file in files]).mean(0))
    assert run_gt(tmp_path, '--styles', 'eliminated,mask', '--quiet', *options[fill]) == 0
    for line in manifest(tmp_path / 'out'):
        written, mask = (cv2.imread(str(tmp_path / 'out' / line['outputs'][style])) for style in ('eliminated', 'mask'))
        assert (written[mask[..., 0] == 0] == expected[fill]).all()


def test_a_folder_of_pictures_without_any_is_2(data, tmp_path, capsys):
    (tmp_path / 'other').mkdir()
    assert run_gt(tmp_path, '--fill', f'dir:{tmp_path}/other') == 2
    assert 'no images in' in capsys.readouterr().err
