import json

from solo_bg.journal import Record, write_manifest, write_run


def test_sorted_one_line_an_input(tmp_path):
    records = [Record('b.png', 'error', error='is "broken"\nbadly'), Record('a.png', 'ok', {'mask': 'mask/a.png'}, 2)]
    write_manifest(tmp_path / 'new', records)
    lines = (tmp_path / 'new/manifest.jsonl').read_text().splitlines()
    assert [json.loads(line)['input'] for line in lines] == ['a.png', 'b.png']
    keys = ['input', 'status', 'outputs', 'instances', 'classes', 'foreground', 'seconds', 'error']
    assert list(json.loads(lines[0])) == [*keys, 'iou', 'decisions']


def test_run_says_how_the_results_were_made(tmp_path):
    write_run(tmp_path / 'new', {'model': {'threads': 2}})
    assert json.loads((tmp_path / 'new/run.json').read_text()) == {'model': {'threads': 2}}
