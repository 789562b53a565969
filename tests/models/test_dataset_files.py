import pytest
from mmengine.config import Config

from solo_bg.errors import SetupError
from solo_bg.models.dataset_files import annotation_files, check_annotations


def wrapped(root, *names):
    datasets = [{'type': 'CocoDataset', 'data_root': str(root), 'ann_file': name} for name in names]
    return Config(
        {
            'train_dataloader': {'dataset': {'dataset': {'type': 'ConcatDataset', 'datasets': datasets}}},
            'val_evaluator': [{'type': 'A'}, {'type': 'CocoMetric', 'ann_file': str(root / names[-1])}],
            'val_dataloader': None,
        }
    )


def test_files_are_found_inside_wrappers(tmp_path):
    config = wrapped(tmp_path, 'a.json', '/b.json', 's3://c.json')
    found = dict(annotation_files(config.train_dataloader, 'train_dataloader'))
    at = 'train_dataloader.dataset.dataset.datasets'
    assert found[f'{at}.0.ann_file'] == f'{tmp_path}/a.json' and found[f'{at}.1.ann_file'] == '/b.json'


def test_the_first_missing_file_is_named_with_the_key_that_names_it(tmp_path):
    (tmp_path / 'a.json').write_text('{}')
    parts = ('train_dataloader', 'val_dataloader', 'val_evaluator', 'no_such_key')
    check_annotations(wrapped(tmp_path, 'a.json', 'a.json'), *parts)
    check_annotations(wrapped(tmp_path, 's3://c.json', 'a.json'), 'train_dataloader')
    with pytest.raises(
        SetupError, match=r'at .*/b\.json, .* train_dataloader\.dataset\.dataset\.datasets\.1\.ann_file'
    ):
        check_annotations(wrapped(tmp_path, 'a.json', 'b.json'), *parts)
    with pytest.raises(SetupError, match=r'--cfg-options val_evaluator\.1\.ann_file=FILE'):
        check_annotations(wrapped(tmp_path, 'a.json', 'b.json'), 'val_evaluator')


@pytest.mark.parametrize(
    'content', ['', '{"images": [', '<html></html>', 'version https://git-lfs.github.com/spec/v1\n', '{"a": 1]']
)
def test_a_damaged_file_is_named_with_its_key(tmp_path, content):
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(SetupError, match=r'a\.json, .* val_evaluator\.1\.ann_file, is no whole JSON file'):
        check_annotations(wrapped(tmp_path, 'a.json'), 'val_evaluator')


def test_white_space_around_a_whole_file_and_files_of_other_kinds_pass(tmp_path):
    (tmp_path / 'a.json').write_text(' \n{"images": [' + '0, ' * 5000 + '0]}\n\n')
    (tmp_path / 'b.txt').write_text('one\ntwo\n')
    for name in ('a.json', 'b.txt'):
        check_annotations(wrapped(tmp_path, name), 'val_evaluator', 'train_dataloader')
