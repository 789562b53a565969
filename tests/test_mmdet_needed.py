"""Without mmdet: what works all the same, and what an import that needs it says."""

import json
import subprocess
import sys

import pytest
from coco_data import make_dataset
from conftest import ROOT

from solo_bg.errors import SetupError
from solo_bg.mmdet_needed import UPSTREAM, MissingMmdet, mmdet_needed

WITHOUT_MMDET = """
import io, json, os, sys
from contextlib import redirect_stderr
from importlib import import_module

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('mmdet', 'mmcv', 'mmengine'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, NotInstalled())
from solo_bg.cli.main import main

def run(*argv):
    with redirect_stderr(io.StringIO()) as printed:
        return main(argv), printed.getvalue()

def message(work):
    try:
        work()
    except ImportError as error:
        return f'{type(error).__name__}: {error}'

data = sys.argv[1]
told = {
    'annotated': run('--source', 'gt', '--ann', f'{data}/instances.json', f'{data}/images', '-o', f'{data}/out'),
    'demo': run('-o', f'{data}/demo'),
    'Segmenter': message(lambda: import_module('solo_bg').Segmenter),
    'zoo': message(lambda: import_module('solo_bg.models.zoo').find('solo_r50_fpn_1x_coco')),
    'plugin': message(lambda: import_module('solo_bg.mmdet_plugin.bf16')),
}
print(json.dumps(told))
"""
COMMANDS = (
    'pip install "solo_bg[onedl]"',
    'pip install mmdet==3.3.0 mmcv-lite==2.1.0 mmengine==0.10.7 "setuptools<81"',
)


@pytest.fixture(scope='module')
def told(tmp_path_factory):
    """What a process in which mmdet cannot be imported said, by what was asked of it."""
    folder = tmp_path_factory.mktemp('data')
    make_dataset(folder)
    command = [sys.executable, '-c', WITHOUT_MMDET, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_annotated_masks_need_no_mmdet(told):
    code, printed = told['annotated']
    assert code == 0, printed


def test_the_command_names_both_ways_to_install_it_in_one_line(told):
    code, printed = told['demo']
    assert code == 2 and len(printed.splitlines()) == 1 and printed.startswith('eliminate_bg: error: mm')
    assert 'is not installed' in printed
    assert all(command in printed for command in COMMANDS)


@pytest.mark.parametrize('wanted', ['Segmenter', 'zoo', 'plugin'])
def test_an_import_names_both_ways_to_install_it(told, wanted):
    assert told[wanted].startswith('MissingMmdet: ') and all(command in told[wanted] for command in COMMANDS)


@pytest.mark.parametrize('name', ['mmdet', 'mmcv.transforms', 'mmengine.config'])
def test_the_missing_library_is_named(name):
    with pytest.raises(MissingMmdet, match=f'^{name.partition(".")[0]} is not installed') as raised, mmdet_needed():
        raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    assert isinstance(raised.value, SetupError)


def test_a_setuptools_too_new_for_upstream_is_named():
    with pytest.raises(MissingMmdet, match='setuptools<81'), mmdet_needed():
        raise ModuleNotFoundError("No module named 'pkg_resources'", name='pkg_resources')


def test_another_missing_module_is_not_blamed_on_mmdet():
    with pytest.raises(ModuleNotFoundError, match='addict'), mmdet_needed():
        raise ModuleNotFoundError("No module named 'addict'", name='addict')


def test_upstream_s_versions_are_those_that_are_tested():
    pins = [line.partition('#')[0].strip() for line in (ROOT / 'requirements-openmmlab.txt').read_text().splitlines()]
    assert set(UPSTREAM.replace('"', '').split()[2:]) <= set(pins)
