"""The report of a run: what it says, against the manifest; what its files are, and when they are written."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from conftest import ROOT
from report_data import comparable, parse, policy_hashes

from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse as parse_words
from solo_bg.disk.output_names import thumbnail_path
from solo_bg.runs.plan import make_plan
from solo_bg.runs.report import write
from solo_bg.runs.report.summary import MOST_REASONS, Summary
from solo_bg.runs.run import execute

COUNT = 12


@pytest.fixture
def words(tmp_path):
    """The command for small annotated images, two broken ones among them, that needs no model."""
    make_dataset(tmp_path, count=COUNT)
    for index in range(2):
        (tmp_path / f'images/broken{index}.png').write_bytes(b'x' * index)
    coco = json.loads((tmp_path / 'instances.json').read_text())
    coco['images'] += [{'id': 900 + i, 'file_name': f'broken{i}.png', 'height': 9, 'width': 9} for i in range(2)]
    (tmp_path / 'instances.json').write_text(json.dumps(coco))
    given = ['--source', 'gt', '--ann', str(tmp_path / 'instances.json'), str(tmp_path / 'images')]
    return [*given, '--threads', '1', '--quiet']


def run(words, out, *more):
    return cli.main([*words, *more, '-o', str(out)])


def manifest(out):
    return [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]


def files(out):
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}
    lines = [json.loads(line) for line in found['manifest.jsonl'].splitlines()]
    del found['run.json']
    return comparable(out, found | {'manifest.jsonl': [{**line, 'seconds': 0} for line in lines]})


def thumbnails(out):
    return {path.relative_to(out).as_posix() for path in (out / 'report/thumbs').rglob('*') if path.is_file()}


# ---- what it says


def test_it_says_what_the_manifest_says(words, tmp_path):
    out = tmp_path / 'out'
    assert run(words, out, '--on-empty', 'black', '--min-iou', '0.01') == 1
    _, data = parse(out)
    lines, facts = manifest(out), json.loads((out / 'run.json').read_text())
    assert len(data['rows']) == len(lines) == COUNT + 2
    for row, line in zip(data['rows'], lines, strict=True):
        measured = line['status'] != 'error'
        assert (row['input'], row['status'], row['outputs']) == (line['input'], line['status'], line['outputs'])
        assert row['share'] == (line['foreground'] if measured else None) and row['classes'] == line['classes']
        assert (row['error'] or None, row['seconds']) == (line['error'], line['seconds'])
        assert row['thumbnail'] == (thumbnail_path(line['input']).removeprefix('report/thumbs/') if measured else 0)
        assert not measured or row['more']['iou'] == line['iou']
    summary, done = data['summary'], [line for line in lines if line['status'] != 'error']
    assert {name: many for name, many in summary['statuses'].items() if many} == Counter(x['status'] for x in lines)
    bins, _ = np.histogram([line['foreground'] for line in done], bins=20, range=(0, 1))
    assert summary['shares'] == bins.tolist()
    instances = sum((Counter(line['classes']) for line in done), Counter())
    images = sum((Counter(line['classes'].keys()) for line in done), Counter())
    assert {name: (many, seen) for name, many, seen in summary['classes']} == {
        name: (instances[name], images[name]) for name in instances
    }
    assert summary['meanShare'] == pytest.approx(np.mean([line['foreground'] for line in done]))
    assert summary['meanIou'] == pytest.approx(np.mean([line['iou'] for line in done]))
    assert summary['slowest'][0] == max(line['seconds'] for line in done)
    failed = [(line['error'], line['input']) for line in lines if line['status'] == 'error']
    assert sorted((reason, names) for reason, _, names in summary['reasons']) == sorted((r, [n]) for r, n in failed)
    for name in ('command', 'versions', 'device', 'start', 'end', 'host', 'inputs'):
        assert data['run'][name] == facts[name]
    assert data['run']['options'] == facts['depends']['options']
    assert all((out / name).is_file() for name in data['files']) and len(data['files']) == 4


def test_thumbnails_show_the_image_and_its_pictures(words, tmp_path):
    out = tmp_path / 'out'
    run(words, out)
    for line in manifest(out):
        if line['status'] == 'ok':
            shown = cv2.imread(str(out / thumbnail_path(line['input'])))
            pictures = [line['input'], *(str(out / path) for path in line['outputs'].values())]
            wanted = np.concatenate([cv2.imread(path) for path in pictures], 1)
            assert shown.shape == wanted.shape and np.abs(shown.astype(int) - wanted).mean() < 8


def test_links_to_inputs_lead_to_them(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(['images' if word == words[4] else word for word in words], 'deep/er/out') == 1
    _, data = parse(tmp_path / 'deep/er/out')
    assert all(
        (tmp_path / 'deep/er/out' / data['inputs'] / row['input']).samefile(row['input']) for row in data['rows']
    )


# ---- escaping


EVIL = [
    '</script><script>alert(1)</script>',
    'a"b\'c & <b>',
    'new\nline',
    'byte\udcff',
    '\u2028\u202e',
    '{{script}}',
    '\\',
]


def evil_lines():
    facts = {
        'status': 'ok',
        'instances': 1,
        'foreground': 0.5,
        'seconds': 0.1,
        'error': None,
        'iou': None,
        'decisions': {},
    }
    for name in EVIL:
        more = {'input': name, 'outputs': {'mask': f'mask/{name}.png'}, 'classes': {name: 1}, 'fill': name}
        yield json.dumps(facts | more).encode()
        yield json.dumps(facts | more | {'input': f'{name}!', 'status': 'error', 'error': name, 'outputs': {}}).encode()


@pytest.mark.parametrize('rows', [2000, 3])
def test_no_name_can_become_markup(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(write, 'ROWS', rows)
    run_facts = {'report': 'light', 'command': EVIL, 'folder': EVIL[0], 'host': EVIL[0], 'end': None, 'start': EVIL[0]}
    write.write_report(tmp_path, run_facts, evil_lines())
    page, data = parse(tmp_path)
    tags = Counter(tag for tag, _ in page.elements)
    assert tags['script'] == tags['/script'] == 2 and tags['style'] == 1 and not tags['b']
    assert [row['input'] for row in data['rows']] == [shown for name in EVIL for shown in (name, f'{name}!')]
    assert [row['error'] for row in data['rows'][1::2]] == EVIL and data['run']['command'] == EVIL
    assert [name for name, *_ in data['summary']['classes']] == EVIL
    for path in (tmp_path / 'report').glob('*.js'):
        assert path.read_bytes().isascii() and b'\n' not in path.read_bytes()[:-1]


def test_the_browser_runs_nothing_but_the_page_s_own_script(tmp_path):
    write.write_report(tmp_path, {'report': 'light'}, evil_lines())
    page, _ = parse(tmp_path)
    (policy,) = [a['content'] for tag, a in page.elements if tag == 'meta' and 'http-equiv' in a]
    rules = dict(rule.strip().split(' ', 1) for rule in policy.split(';'))
    (script,) = [text for tag, attributes, text in page.texts if tag == 'script' and 'type' not in attributes]
    (style,) = [text for tag, _, text in page.texts if tag == 'style']
    assert rules['default-src'] == "'none'" and 'unsafe' not in policy and 'http' not in policy
    assert f"'{policy_hashes(script)}'" in rules['script-src'] and f"'{policy_hashes(style)}'" in rules['style-src']
    attributes = [name for tag, given in page.elements for name in given]
    assert not [name for name in attributes if name == 'style' or name.startswith('on')]
    assert 'innerHTML' not in script and 'http:' not in script + style and 'https:' not in script + style


# ---- its files


def test_none_writes_nothing_and_light_no_thumbnails(words, tmp_path):
    run(words, tmp_path / 'none', '--report', 'none')
    assert not [path for path in (tmp_path / 'none').rglob('*') if 'report' in path.name]
    run(words, tmp_path / 'light', '--report', 'light')
    assert not (tmp_path / 'light/report').exists() and len(parse(tmp_path / 'light')[1]['rows']) == COUNT + 2
    run(words, tmp_path / 'full')
    one, other, full = (files(tmp_path / name) for name in ('none', 'light', 'full'))
    assert one.items() <= other.items() and one.items() <= full.items()  # the pictures and the manifest are the same


def test_another_report_of_the_same_results_makes_no_picture_again(words, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    run(words, out, '--styles', 'eliminated,mask,labels,cutout')
    full, times = files(out), {path: path.stat().st_mtime_ns for path in out.glob('*/*.png')}
    assert len(thumbnails(out)) == COUNT
    for kind in ('light', 'none', 'full'):
        run(words, out, '--styles', 'eliminated,mask,labels,cutout', '--resume', '--report', kind)
        assert (kind == 'full') == bool(thumbnails(out)) and (kind != 'none') == (out / 'report.html').exists()
        assert {path: path.stat().st_mtime_ns for path in out.glob('*/*.png')} == times
    assert files(out) == full


def test_thumbnails_of_inputs_that_fail_now_are_deleted(words, tmp_path):
    out = tmp_path / 'out'
    run(words, out)
    before = thumbnails(out)
    (tmp_path / 'images/0.png').write_bytes(b'no image')
    run(words, out, '--resume')
    assert before - thumbnails(out) == {thumbnail_path(f'{tmp_path}/images/0.png')}
    assert thumbnails(out) <= before


def test_chunks_hold_every_record_once(words, tmp_path, monkeypatch):
    monkeypatch.setattr(write, 'ROWS', 5)
    out = tmp_path / 'out'
    run(words, out)
    assert sorted(path.name for path in out.glob('report/*.js')) == ['records-0002.js', 'records-0003.js']
    assert [row['input'] for row in parse(out)[1]['rows']] == [line['input'] for line in manifest(out)]
    monkeypatch.setattr(write, 'ROWS', 10)
    run(words, out, '--resume')
    assert [path.name for path in out.glob('report/*.js')] == ['records-0002.js']
    assert len(parse(out)[1]['rows']) == COUNT + 2


def test_shards_write_it_when_they_are_merged(words, tmp_path):
    run(words, tmp_path / 'one')
    for index in range(2):
        run(words, tmp_path / 'two', '--shard', f'{index}/2')
        assert not (tmp_path / 'two/report.html').exists()
    assert cli.main(['--merge', str(tmp_path / 'two')]) == 1
    assert files(tmp_path / 'two') == files(tmp_path / 'one')


def test_overwrite_deletes_the_report_and_nothing_else(words, tmp_path):
    out = tmp_path / 'out'
    run(words, out)
    (out / 'report/thumbs/mine.jpg').write_bytes(b'mine')
    (out / 'report/records.js').write_bytes(b'mine')
    run(words, out, '--overwrite', '--report', 'none', '--limit', '1')
    left = {path.relative_to(out).as_posix() for path in out.glob('report*/**/*') if path.is_file()}
    assert left == {'report/thumbs/mine.jpg', 'report/records.js'} and not (out / 'report.html').exists()


def test_a_page_of_somebody_else_is_not_replaced(words, tmp_path, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'report.html').write_text('<p>mine</p>')
    assert run(words, out) == 2 and 'report.html is there, but no report of this tool' in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ['report.html']
    assert run(words, out, '--report', 'none') == 1 and (out / 'report.html').read_text() == '<p>mine</p>'
    assert run(words, out, '--overwrite', '--report', 'none') == 1 and (out / 'report.html').exists()


def test_thumbnails_are_no_images_of_the_next_run(words, tmp_path, caplog):
    out = tmp_path / 'images/out'
    run(words, out, '--report', 'full')
    assert len(thumbnails(out)) == COUNT
    again = run(words, out, '--resume')
    assert again == 1 and len(manifest(out)) == COUNT + 2
    plan = make_plan(parse_words([*words[:-1], '-o', str(tmp_path / 'another')]).settings)
    assert len(plan.images) == COUNT + 2
    (tmp_path / 'images/report').mkdir()  # a folder of this name is no report where no run has been
    cv2.imwrite(str(tmp_path / 'images/report/mine.png'), np.zeros((9, 9, 3), np.uint8))
    plan = make_plan(
        parse_words(['--source', 'otsu', str(tmp_path / 'images'), '-o', str(tmp_path / 'images')]).settings
    )
    assert f'{tmp_path}/images/report/mine.png' in [image.shown for image in plan.images]


# ---- runs that are stopped


def test_a_stopped_run_reports_what_is_there(words, tmp_path):
    settings = parse_words([*words, '-o', str(tmp_path / 'out')]).settings
    records = execute(settings, make_plan(settings))
    inputs = [next(records).input for _ in range(3)]
    records.close()
    _, data = parse(tmp_path / 'out')
    assert data['run']['end'] is None and data['run']['inputs'] == COUNT + 2
    assert sorted(inputs) == [row['input'] for row in data['rows']]
    assert run(words, tmp_path / 'out', '--resume') == 1
    run(words, tmp_path / 'quiet')
    assert files(tmp_path / 'out') == files(tmp_path / 'quiet')


def test_an_interrupt_reports_too(words, tmp_path, monkeypatch):
    from solo_bg import pipeline

    real = pipeline.run

    def interrupted(*args):
        records = real(*args)
        yield next(records)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, 'run', interrupted)
    assert run(words, tmp_path / 'out') == 128 + signal.SIGINT
    assert len(parse(tmp_path / 'out')[1]['rows']) == 1


# ---- a sample


def test_a_sample_leaves_its_report_and_an_estimate(words, tmp_path, capsys):
    out, words = tmp_path / 'out', [*words, '--dry-run', '--limit', '4']
    for name in ('broken0.png', 'broken1.png'):
        (tmp_path / 'images' / name).unlink()
    assert run(words, out) == 0 and not out.exists()  # without --report, a dry run writes nothing
    assert run(words, out, '--report', 'full') == 0
    assert {path.name for path in out.iterdir()} == {'report.html', 'report'} and len(thumbnails(out)) == 4
    _, data = parse(out)
    sample = data['sample']
    assert (len(data['rows']), sample['images'], sample['all']) == (4, 4, COUNT) and data['files'] == []
    assert all(list(row['outputs'].values()) == [None, None] for row in data['rows'])
    assert f'{COUNT} images like the first 4 will take about' in capsys.readouterr().out
    assert run([word for word in words if word not in ('--dry-run', '--limit', '4')], out) == 0
    fixed = out / 'report.html', out / 'run.json'
    size = sum(path.stat().st_size for path in out.rglob('*') if path.is_file() and path not in fixed)
    assert sample['bytes'] == pytest.approx(size, rel=0.3)
    assert run(words, out, '--report', 'light') == 2
    assert 'a sample would replace its report' in capsys.readouterr().err


# ---- many records


def many_lines(count):
    for index in range(count):
        name = f'photos/{index // 1000:03d}/{index:06d}.jpg'
        facts = {
            'input': name, 'status': 'ok' if index % 50 else 'error', 'instances': 3, 'foreground': index % 100 / 100,
            'classes': {'person': 2, f'class {index % 80}': 1}, 'seconds': 0.25, 'iou': None, 'decisions': {},
            'outputs': {style: f'{style}/{name[7:-4]}.png' for style in ('eliminated', 'overlay')},
            'error': None if index % 50 else f'is truncated at byte {index}', 'key': f'{index:064x}',
        }  # fmt: skip
        yield json.dumps(facts).encode()


MEASURE = """
import resource, sys
from pathlib import Path
from test_report import many_lines
from solo_bg.runs.report.write import write_report
write_report(Path(sys.argv[1]), {'report': 'full'}, many_lines(int(sys.argv[2])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_records(tmp_path):
    def peak(count):
        (tmp_path / str(count)).mkdir()
        words = [sys.executable, '-c', MEASURE, str(tmp_path / str(count)), str(count)]
        environment = {**os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT}/tests:{ROOT}/tests/runs'}
        return int(subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout)

    few, many = peak(4_000), peak(100_000)
    print(f'{few} MB at most for 4,000 records, {many} MB for 100,000')
    assert many - few < 20
    _, data = parse(tmp_path / '100000')
    assert len(data['rows']) == 100_000 and len({row['input'] for row in data['rows']}) == 100_000
    assert Path(tmp_path / '100000/report.html').stat().st_size < 1_000_000


def test_reasons_that_differ_in_numbers_are_one_kind():
    summary = Summary()
    for line in many_lines(1000):
        summary.add(json.loads(line))
    ((reason, many, names),) = summary.facts()['reasons']
    assert (reason, many, len(names)) == ('is truncated at byte 0', 20, 3)
    for index in range(2 * MOST_REASONS):
        letters = ''.join(chr(97 + int(digit)) for digit in str(index))
        summary.add({'input': 'x', 'status': 'error', 'error': letters, 'outputs': {}})
    facts = summary.facts()
    assert len(facts['reasons']) == MOST_REASONS and facts['otherFailures'] == MOST_REASONS + 1
