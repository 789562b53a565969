"""The pins of the two stacks."""

import re

from conftest import ROOT

FORKS = {'onedl-mmdetection': 'mmdet', 'onedl-mmcv': 'mmcv-lite', 'onedl-mmengine': 'mmengine'}


def pins(*names):
    lines = [line.split('#')[0].strip() for name in names for line in (ROOT / name).read_text().splitlines()]
    found = [re.fullmatch(r'([\w\[\]-]+)([<>=].+)', line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def test_both_stacks_are_tested_with_the_same_of_everything_else():
    ours, upstream = pins('requirements.txt', 'requirements-test.txt'), pins('requirements-openmmlab.txt')
    assert upstream.pop('torch').startswith(f'>={ours.pop("torch")[2:].rpartition(".")[0]},')
    assert upstream.pop('setuptools') == '<81' and ours.pop('setuptools')  # mmengine 0.10.7 needs an older one
    assert {FORKS[name] for name in FORKS if name in ours} == {
        name for name in FORKS.values() if upstream.pop(name, '')
    }
    assert upstream.items() <= ours.items()
    assert ours.keys() - upstream.keys() == {*FORKS, 'import-linter', 'mypy', 'ruff'}
