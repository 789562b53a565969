import json

import pytest

from solo_bg.errors import ImageError, SetupError
from solo_bg.runs.journal import Journal, Lines, Record
from solo_bg.runs.shards import Shard


def made(name, key, **facts):
    outputs = {'eliminated': f'eliminated/{name}.png'}
    return Record(name, 'ok', outputs, key=key, carried=({'height': 1}, [{'category_id': 0}]), **facts)


def test_a_line_says_what_users_look_for(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Record('b.png', 'error', error='is "broken"\nbadly'))
    (line,) = (tmp_path / 'manifest.jsonl').read_text().splitlines()
    keys = ['input', 'status', 'outputs', 'instances', 'classes', 'foreground', 'seconds', 'error']
    assert list(json.loads(line)) == [*keys, 'iou', 'decisions', 'key']
    assert not (tmp_path / 'annotations.jsonl').exists()


def test_what_was_made_in_the_same_way_is_found_and_nothing_else(tmp_path):
    journal = Journal(tmp_path, 'options')
    key = journal.key(b'pixels')
    journal.add(made('a', key, instances=3))
    journal.add(Record('broken', 'error', error='broken', key=key))
    for again in (journal, Journal(tmp_path, 'options')):
        found = again.find('a', key)
        assert found.before and (found.instances, found.carried) == (3, ({'height': 1}, [{'category_id': 0}]))
        assert again.find('broken', key) is None and again.find('b', key) is None
    assert Journal(tmp_path, 'options').key(b'pixels') == key
    assert len({key, journal.key(b'others'), Journal(tmp_path, 'other options').key(b'pixels')}) == 3
    assert journal.find('a', journal.key(b'others')) is None


def test_a_record_whose_annotations_are_missing_is_not_found(tmp_path):
    journal = Journal(tmp_path)
    journal.add(made('a', 'k'))
    (tmp_path / 'annotations.jsonl').unlink()
    assert Journal(tmp_path).find('a', 'k') is None


@pytest.mark.parametrize('name', ['manifest.jsonl', 'annotations.jsonl'])
@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_a_torn_line_costs_its_input_alone(tmp_path, name, share):
    journal = Journal(tmp_path)
    journal.add(made('a', 'k'))
    before = (tmp_path / name).stat().st_size
    journal.add(made('b', 'k'))
    journal.close()
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: before + int((len(whole) - before) * share)])
    torn = Journal(tmp_path)
    assert torn.find('a', 'k') and not torn.find('b', 'k')
    torn.add(made('b', 'k'))
    assert (tmp_path / 'manifest.jsonl').read_bytes().endswith(b'}\n')
    assert all(json.loads(line) for line in (tmp_path / name).read_text().splitlines())
    assert Journal(tmp_path).find('b', 'k')


def test_a_damaged_line_does_not_count(tmp_path):
    (tmp_path / 'a.jsonl').write_bytes(b'{"input": "a", "n": 1}\n\0\0\0\n{"input": "b", "n": 2}\n')
    lines = Lines(tmp_path / 'a.jsonl')
    assert list(lines) == ['a', 'b'] and lines.get('b')['n'] == 2 and lines.get('c') == {}


def test_the_last_line_of_an_input_counts_and_the_pictures_of_earlier_ones_are_known(tmp_path):
    lines = Lines(tmp_path / 'a.jsonl')
    lines.add({'input': 'a', 'outputs': {'mask': 'mask/old.png'}})
    lines.add({'input': 'a', 'outputs': {'mask': 'mask/new.png'}})
    for again in (lines, Lines(tmp_path / 'a.jsonl')):
        assert again.get('a')['outputs'] == {'mask': 'mask/new.png'} and again.superseded == {'mask/old.png'}


def test_names_of_any_bytes(tmp_path):
    name = b'in/\xff\xe9 \n\xf0\x9f\x90\xb1.png'.decode(errors='surrogateescape')
    Journal(tmp_path).add(made(name, 'k'))
    assert Journal(tmp_path).find(name, 'k')


def test_what_is_no_journal_is_not_touched(tmp_path):
    (tmp_path / 'manifest.jsonl').write_text('{"file": "a"}\n')
    with pytest.raises(SetupError, match='was not written by this tool'):
        Journal(tmp_path)
    assert (tmp_path / 'manifest.jsonl').read_text() == '{"file": "a"}\n'


def test_other_journals_are_read_and_copied_from(tmp_path):
    Journal(tmp_path, shard=Shard(1, 2)).add(made('a', 'k'))
    journal = Journal(tmp_path)
    found = journal.find('a', 'k')
    journal.add(found)
    assert Lines(tmp_path / 'manifest.jsonl').get('a') == found.facts()
    assert Lines(tmp_path / 'annotations.jsonl').get('a')['annotations'] == [{'category_id': 0}]
    size = (tmp_path / 'manifest.jsonl').stat().st_size
    journal.add(journal.find('a', 'k'))
    assert (tmp_path / 'manifest.jsonl').stat().st_size == size


def test_a_full_disk_is_an_error_that_leaves_what_was_there(tmp_path):
    resource = pytest.importorskip('resource')
    lines = Lines(tmp_path / 'a.jsonl')
    lines.add({'input': 'a'})
    size = (tmp_path / 'a.jsonl').stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, limits[1]))
    try:
        with pytest.raises(ImageError, match=r'cannot write .*a\.jsonl: 5 of 15 bytes could be written'):
            lines.add({'input': 'b'})
        with pytest.raises(ImageError, match=r'cannot write .*a\.jsonl'):
            lines.add({'input': 'c'})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(Lines(tmp_path / 'a.jsonl')) == ['a']
    lines.add({'input': 'b'})
    assert list(Lines(tmp_path / 'a.jsonl')) == ['a', 'b']


def test_pictures_that_are_begun_are_not_trusted_until_they_are_done(tmp_path):
    journal = Journal(tmp_path)
    journal.add(made('a', 'k'))
    journal.begin('a', {'eliminated': 'eliminated/a.png'})
    for again in (journal, Journal(tmp_path)):
        assert again.find('a', 'k') is None
    Journal(tmp_path, shard=Shard(0, 2)).add(made('a', 'k'))
    assert Journal(tmp_path).find('a', 'k') is None  # the own journal knows better
    journal.add(made('a', 'k'))
    assert Journal(tmp_path).find('a', 'k')


@pytest.mark.parametrize('text', ['[1, 2', '{"images": [', 'a,b\nc,d\n', '{"file": "a"}\n'])
def test_files_of_others_are_not_cut_off(tmp_path, text):
    (tmp_path / 'annotations.jsonl').write_text(text)
    with pytest.raises(SetupError, match='was not written by this tool'):
        Lines(tmp_path / 'annotations.jsonl')
    assert (tmp_path / 'annotations.jsonl').read_text() == text


def test_lines_of_another_version(tmp_path):
    journal = Journal(tmp_path)
    line = made('a', 'k').facts()
    journal.records.add(line | {'new': 1})
    journal.records.add({'input': 'b'})
    journal.records.add({'input': 'c', 'outputs': ['x']})
    journal.labels.add({'input': 'a', 'key': 'k', 'image': {}, 'annotations': []})
    again = Journal(tmp_path)
    assert again.find('a', 'k') and again.find('b', '') is None and again.find('c', '') is None
