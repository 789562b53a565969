import json

import pytest

from solo_bg.errors import SetupError
from solo_bg.runs import manifest, merge, run_files
from solo_bg.runs.journal import Journal, Record
from solo_bg.runs.outfolder import settle
from solo_bg.runs.shards import WHOLE, Shard

DATASET = {'head': {'categories': [{'id': 7, 'name': 'a'}]}, 'numbered': True}


def picture(out, name):
    (out / 'mask').mkdir(exist_ok=True)
    (out / f'mask/{name}.png').write_bytes(b'x')
    return {'mask': f'mask/{name}.png'}


def labelled(name, label=0):
    outputs = {'eliminated': f'eliminated/{name}.png'}
    return Record(name, 'ok', outputs, carried=({'file_name': name}, [{'category_id': label}]))


def inputs_of(out, name='manifest.jsonl'):
    return [json.loads(line)['input'] for line in (out / name).read_text().splitlines()]


def test_sorted_one_line_an_input(tmp_path):
    journal = Journal(tmp_path)
    for name in ('c', 'a', 'b', 'a'):
        journal.add(labelled(name))
    assert manifest.finish(tmp_path, 1, DATASET) == {'ok': 3}
    assert inputs_of(tmp_path) == inputs_of(tmp_path, 'annotations.jsonl') == ['a', 'b', 'c']
    coco = json.loads((tmp_path / 'annotations.json').read_text())
    assert coco['categories'] == DATASET['head']['categories']
    assert coco['images'] == [{'id': number, 'file_name': name} for number, name in enumerate('abc', 1)]
    assert coco['annotations'] == [{'id': number, 'image_id': number, 'category_id': 7} for number in (1, 2, 3)]


def test_again_changes_nothing(tmp_path):
    journal = Journal(tmp_path)
    for name in ('b', 'a'):
        journal.add(labelled(name))
    manifest.finish(tmp_path, 1, DATASET)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    manifest.finish(tmp_path, 1, DATASET)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_annotations_are_written_that_nobody_asked_for(tmp_path):
    Journal(tmp_path).add(Record('a', 'ok', picture(tmp_path, 'a')))
    manifest.finish(tmp_path, 1, None)
    assert not (tmp_path / 'annotations.json').exists() and not (tmp_path / 'annotations.jsonl').exists()


def test_pictures_that_are_made_no_more_go_and_nothing_else(tmp_path):
    (tmp_path / 'mask').mkdir()
    (tmp_path / 'mask/yours.png').write_bytes(b'')
    journal = Journal(tmp_path)
    journal.add(Record('a', 'ok', picture(tmp_path, 'old')))
    journal.add(Record('a', 'ok', picture(tmp_path, 'new')))
    journal.add(Record('b', 'ok', {'mask': '../keep.png'}))
    journal.add(Record('b', 'ok', picture(tmp_path, 'old2')))
    journal.add(Record('b', 'empty'))
    (tmp_path.parent / 'keep.png').write_bytes(b'')
    manifest.finish(tmp_path, 1, None)
    assert {path.name for path in (tmp_path / 'mask').iterdir()} == {'new.png', 'yours.png'}
    assert (tmp_path.parent / 'keep.png').exists()


def test_a_name_that_another_input_has_now_stays(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Record('a.jpg', 'ok', picture(tmp_path, 'a')))
    journal.add(Record('a.jpg', 'ok', picture(tmp_path, 'a.jpg')))
    journal.add(Record('a.png', 'ok', picture(tmp_path, 'a')))
    manifest.finish(tmp_path, 1, None)
    assert {path.name for path in (tmp_path / 'mask').iterdir()} == {'a.png', 'a.jpg.png'}


def run_shard(out, index, count, names, key='k', end='2026-01-01T00:00:00+00:00', start='2025'):
    shard = Shard(index, count)
    journal = Journal(out, shard=shard)
    for name in names:
        journal.add(labelled(name))
    facts = {'key': key, 'shards': count, 'start': start, 'end': end, 'dataset': DATASET}
    run_files.write_run(out, facts, shard)


def test_shards_become_one_run(tmp_path):
    run_shard(tmp_path, 0, 2, ['a', 'c'])
    run_shard(tmp_path, 1, 2, ['b'])
    Journal(tmp_path, shard=Shard(1, 3)).add(labelled('d'))  # of a run with another number of shards, cut short
    assert merge.merge(tmp_path) == ({'ok': 4}, [])
    assert inputs_of(tmp_path) == ['a', 'b', 'c', 'd']
    left = {'annotations.json', 'annotations.jsonl', 'manifest.jsonl', 'run.json'}
    assert {path.name for path in tmp_path.iterdir()} == left
    (run,) = run_files.read_runs(tmp_path)
    assert 'dataset' not in run and run['end']
    assert merge.merge(tmp_path) == ({'ok': 4}, [])


def test_shards_that_have_not_ended_are_named(tmp_path):
    run_shard(tmp_path, 0, 3, ['a'])
    run_shard(tmp_path, 2, 3, ['c'], end=None)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for _ in range(2):
        assert merge.merge(tmp_path) == ({'ok': 2}, ['shard 1/3', 'shard 2/3'])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    run_shard(tmp_path, 1, 3, ['b'])
    run_shard(tmp_path, 2, 3, ['c'])
    assert merge.merge(tmp_path) == ({'ok': 3}, [])
    assert not list(tmp_path.glob('run-*')) and inputs_of(tmp_path) == ['a', 'b', 'c']


def test_a_merge_that_was_killed_before_its_last_step(tmp_path):
    run_shard(tmp_path, 0, 2, ['a'])
    run_shard(tmp_path, 1, 2, ['b'])
    kept = (tmp_path / 'run-00001-of-00002.json').read_bytes()
    merge.merge(tmp_path)
    (tmp_path / 'run-00001-of-00002.json').write_bytes(kept)
    assert merge.merge(tmp_path) == ({'ok': 2}, []) and not list(tmp_path.glob('run-*'))


def test_an_interrupted_run_has_not_ended(tmp_path):
    journal = Journal(tmp_path)
    journal.add(labelled('a'))
    journal.begin('b', {'mask': 'mask/b.png'})
    assert merge.merge(tmp_path) == ({'ok': 1}, ['the run'])


def test_pictures_that_were_begun_and_never_ended_go(tmp_path):
    journal = Journal(tmp_path)
    journal.begin('b', picture(tmp_path, 'b'))
    journal.begin('c', {'mask': 'mask/' + 300 * 'c'})
    assert manifest.finish(tmp_path, 1, None) == {} and not (tmp_path / 'mask').exists()
    (tmp_path / 'mask/d.png/yours').mkdir(parents=True)
    Journal(tmp_path).begin('d', {'mask': 'mask/d.png'})
    manifest.finish(tmp_path, 1, None)
    assert (tmp_path / 'mask/d.png/yours').exists()


def test_a_record_whose_annotations_were_lost_is_not_trusted(tmp_path):
    journal = Journal(tmp_path)
    journal.add(labelled('a'))
    journal.add(labelled('b'))
    lines = (tmp_path / 'annotations.jsonl').read_bytes().splitlines(keepends=True)
    (tmp_path / 'annotations.jsonl').write_bytes(lines[0])
    assert manifest.finish(tmp_path, 1, DATASET) == {'ok': 1, 'lost': 1} and inputs_of(tmp_path) == ['a']


def test_annotations_go_with_their_pictures(tmp_path):
    Journal(tmp_path).add(labelled('a'))
    manifest.finish(tmp_path, 1, DATASET)
    journal = Journal(tmp_path)
    journal.add(Record('a', 'ok', picture(tmp_path, 'a'), key='new'))
    manifest.finish(tmp_path, 1, None)
    assert {path.name for path in tmp_path.iterdir()} == {'manifest.jsonl', 'mask'}


def test_shards_of_different_options_do_not_merge(tmp_path):
    run_shard(tmp_path, 0, 2, ['a'])
    run_shard(tmp_path, 1, 2, ['b'], key='other')
    with pytest.raises(SetupError, match='run each in the same way'):
        merge.merge(tmp_path)
    with pytest.raises(SetupError, match='holds no results of shards'):
        merge.merge(tmp_path / 'nowhere')


# ---- inputs that were there before and are not now


def meet(out, *names, same=True, shard=WHOLE):
    given = {f'in/{name}.png' for name in names}
    settle(Journal(out, shard=shard), given, [f'mask/{name}.png' for name in names], same, shard)
    return manifest.finish(out, 1, None)


@pytest.fixture
def done(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Record('in/a.png', 'ok', picture(tmp_path, 'a')))
    journal.add(Record('in/broken.png', 'error', error='broken'))
    journal.add(Record('gone.png', 'missing', error='gone'))
    return tmp_path


def test_results_of_other_inputs_stay_and_their_failures_go(done):
    assert meet(done, 'b') == {'ok': 1} and inputs_of(done) == ['in/a.png'] and (done / 'mask/a.png').exists()


def test_inputs_that_are_given_again_are_left_to_the_run(done):
    assert meet(done, 'a', 'broken') == {'ok': 1, 'error': 1}


def test_results_that_do_not_belong_together_are_refused(done):
    with pytest.raises(SetupError, match='which is not among the inputs now and whose results were made with'):
        meet(done, 'b', same=False)
    with pytest.raises(SetupError, match='would have the names of new ones'):
        settle(Journal(done), {'other/a.jpg'}, ['mask/A.png'], True, WHOLE)
    with pytest.raises(SetupError, match='other shards may be at work'):
        settle(Journal(done, shard=Shard(0, 2)), {'in/a.png'}, [], False, Shard(0, 2))


def test_what_was_made_in_another_way_is_forgotten_in_every_journal(done):
    Journal(done, shard=Shard(1, 2)).add(Record('in/b.png', 'ok', picture(done, 'b'), key='k'))
    settle(Journal(done), {'in/a.png', 'in/b.png'}, ['mask/a.png', 'mask/b.png'], False, WHOLE)
    assert Journal(done).find('in/b.png', 'k') is None
    assert manifest.finish(done, 1, None) == {} and not (done / 'mask').exists()
