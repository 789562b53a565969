"""The documentation against the code: links, options, imports, examples, wording."""

import inspect
import re

import cv2
import pytest
from conftest import ROOT

import solo_bg
from solo_bg.cli.arguments import build_parser
from solo_bg.draw.fills import FILLS, FILLS_WITH_ARGUMENTS
from solo_bg.draw.styles import STYLE_NAMES
from solo_bg.records import MANIFEST_FIELDS
from solo_bg.sources.base import SourceSettings

PAGES = sorted(
    path for pattern in ('*.md', 'docs/*.md', 'checkpoints/*.md', 'demo/*.md') for path in ROOT.glob(pattern)
)
README = ROOT / 'README.md'
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
FENCED = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(([^)\s]+)\)')
FOLDERS = 'solo_bg|tests|tools|configs(?!/solo/)|checkpoints|docs|demo'  # configs/solo/ is mmdet's
REPOSITORY_PATH = re.compile(rf'`((?:{FOLDERS})/[\w./-]*)')
PYTHON_BLOCK = re.compile(r'^```python\n(.*?)^```', re.MULTILINE | re.DOTALL)
RIDDLES = (
    *('Nothing before them but', 'flatter', 'of all chance', 'that the model computes with', 'by their header'),
    *('if it does such a thing', 'a fringe to be learnt', 'honest exit code', 'end what the shards began'),
    *('multiplies faster', 'by habit', 'until they are here'),
)


def page(name):
    return (ROOT / name).read_text(encoding='utf-8')


def rows(text):
    """The cells of every table row, without the rules below the heads."""
    lines = [line for line in text.splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.strip('|').split(' | ')] for line in lines]


def anchors(text):
    """What GitHub calls the headings of a page."""
    titles = re.findall(r'^#+ (.+)', FENCED.sub('', text), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('name', NAMES)
def test_relative_links_lead_somewhere(name):
    for link in LINK.findall(FENCED.sub('', page(name))):
        if re.match(r'\w+:', link):
            continue
        path, _, anchor = link.partition('#')
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), f'{name} links to {link}'
        assert not anchor or anchor in anchors(target.read_text(encoding='utf-8')), f'{name} links to {link}'


@pytest.mark.parametrize('name', NAMES)
def test_paths_of_the_repository_exist(name):
    for path in REPOSITORY_PATH.findall(page(name)):
        assert (ROOT / path).exists(), f'{name} names {path}'


@pytest.mark.parametrize('name', NAMES)
def test_imports_exist(name):
    for module, imported in re.findall(r'from (solo_bg[\w.]*) import ([\w, ]+)', page(name)):
        for one in imported.split(','):
            assert hasattr(__import__(module, fromlist=[one.strip()]), one.strip()), f'{name}: {module} has no {one}'


def test_the_readme_is_short():
    assert len(page('README.md').splitlines()) <= 160


@pytest.mark.parametrize('name', [*NAMES, '--help'])
def test_plain_english(name):
    text = ' '.join((build_parser().format_help() if name == '--help' else page(name)).split())
    assert [words for words in RIDDLES if words in text] == []


def test_every_option_is_described_with_its_default_and_its_choices():
    described = {}
    for first, *cells in rows(page('docs/options.md')):
        for option in re.findall(r'(?:^|, )`(--?[a-z-]+)', first):
            assert option not in described
            described[option] = cells
    actions = [action for action in build_parser()._actions if action.option_strings]
    assert described.keys() == {option for action in actions for option in action.option_strings}
    for action in actions:
        default, meaning = described[action.option_strings[-1]]
        noted = re.search(r'\(default: (.+?)\)', action.help)
        if noted:  # the help may add what a default means: (default: auto, which is ...)
            assert re.match(rf'{re.escape(default)}\b', noted[1]), f'{action.option_strings}: {noted[0]}'
        else:
            assert default == '-', action.option_strings
        assert all(f'`{choice}`' in meaning for choice in action.choices or ()), action.option_strings


def test_the_options_page_has_every_style_and_every_key_of_the_manifest():
    names = {name for first, *_ in rows(page('docs/options.md')) for name in re.findall(r'`([\w-]+)`', first)}
    assert not {*STYLE_NAMES, *MANIFEST_FIELDS} - names


def test_the_page_on_data_sets_has_every_fill():
    fills = {first.strip('`') for first, *_ in rows(page('docs/datasets.md'))}
    assert not {*FILLS, *FILLS_WITH_ARGUMENTS} - fills


def test_the_page_on_data_sets_has_every_parameter_of_the_transform():
    from solo_bg.mmdet_plugin.eliminate_background import EliminateBackground

    text = page('docs/datasets.md').split('## The transform')[1].split('\n## ')[0]
    described = {cells[0].strip('`'): cells[1].strip('`') for cells in rows(text) if cells[0].startswith('`')}
    parameters = inspect.signature(EliminateBackground).parameters.values()
    assert described == {one.name: repr(one.default) for one in parameters}


def test_the_page_on_python_has_every_public_name():
    names = {name for first, *_ in rows(page('docs/python.md')) for name in re.findall(r'`(\w+)`', first)}
    assert {*solo_bg.__all__} - {'Picture'} <= names  # an older name of InputImage


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with what the examples read, where they can write."""
    for name in ('configs', 'checkpoints', 'demo'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_examples(name):
    variables = {'__name__': name}
    for block in PYTHON_BLOCK.findall(page(name)):
        exec(compile(block, name, 'exec'), variables)
    return variables


def test_the_readme_s_example_runs(clone):
    picture = run_examples('README.md')['picture']
    assert cv2.imread('shown.png').shape == picture.shape
    assert 0 < (picture == 0).all(2).mean() < 1


def test_the_examples_from_python_run(clone, capsys):
    variables = run_examples('docs/python.md')
    assert len(variables['records']) == len(list((ROOT / 'demo/images').iterdir()))
    assert {'eliminated.png', 'shown.png', 'out'} <= {path.name for path in clone.iterdir()}
    assert 'demo/images/chelsea.png ok' in capsys.readouterr().out
    image = cv2.imread('demo/images/coffee.png')
    (found,) = variables['Bright'].build(SourceSettings(options={'threshold': '200'}))(
        [solo_bg.InputImage('coffee', 'coffee.png', image)]
    )
    assert int(found.areas) == (image.mean(2) > 200).sum() > 0


def test_the_configs_on_data_sets_build(clone):
    """Each is Python that mmengine can read, and the pipeline of the last one is built by mmdet's registry."""
    from mmdet.registry import TRANSFORMS

    import solo_bg.mmdet_plugin.eliminate_background  # noqa: F401

    variables = run_examples('docs/datasets.md')
    assert all(TRANSFORMS.build({**step, '_scope_': 'mmdet'}) for step in variables['train_pipeline'])
