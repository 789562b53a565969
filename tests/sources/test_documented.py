"""docs/sources.md lists every source, option and default."""

import re
from dataclasses import fields

from conftest import ROOT

from solo_bg.draw.refine import REFINERS
from solo_bg.models.foreground_zoo import FOREGROUND_MODELS, Recipe
from solo_bg.sources import SOURCES, load_source

ROWS = [line for line in (ROOT / 'docs/sources.md').read_text().splitlines() if line.startswith('| `')]


def row(name, among=0):
    """The `among`-th row whose first cell has this name."""
    return [line for line in ROWS if f'`{name}`' in line.split('|')[1]][among]


def shown(value):
    return ','.join(map(str, value)) if isinstance(value, tuple) else str(value or '')


def test_sources_and_networks_are_listed():
    assert all(row(name) for name in SOURCES)
    listed = set(re.findall(r'`([\w-]+)`', ' '.join(line.split('|')[1] for line in ROWS)))
    assert {name for name in FOREGROUND_MODELS if name not in listed} == {
        name for name in FOREGROUND_MODELS if name.startswith('birefnet') and name.removeprefix('birefnet') in listed
    }
    assert all(row(field.name) for field in fields(Recipe) if field.name != 'std')


def test_options_are_listed_with_their_defaults():
    for name in ('kmeans', 'otsu', 'region-growing', 'grabcut', 'ncut'):
        for option, default in load_source(name).option_defaults.items():
            assert f'`{option}`' in row(name, 1), (name, option)
            text = shown(default).removesuffix('.0')
            assert not text or f'({text})' in row(name, 1), (name, option)
    for name, refiner in REFINERS.items():
        for option in refiner.defaults:
            assert f'`{option}`' in row(name), (name, option)
