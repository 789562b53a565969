"""The wheel: what it carries, what it depends on, and that the command runs from it in another folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
import yaml
from conftest import ROOT

from solo_bg import bundled
from solo_bg.models.find import checkpoint_folder

SOURCES = ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE', 'solo_bg', 'configs', 'demo', 'checkpoints')
BUILD = 'import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])'


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A copy of the sources, where a build leaves its files, and where an older build has left one."""
    clone = tmp_path_factory.mktemp('clone')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns('__pycache__', '*.part'))
        else:
            shutil.copy(ROOT / name, clone / name)
    (clone / 'build/lib/solo_bg').mkdir(parents=True)
    (clone / 'build/lib/solo_bg/old_module.py').touch()
    return clone


def build(clone, kind):
    out = clone / 'dist'
    command = [sys.executable, '-c', BUILD.format(kind), str(out)]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (built,) = out.glob('*.whl' if kind == 'wheel' else '*.tar.gz')
    return built


@pytest.fixture(scope='module')
def wheel(clone):
    return build(clone, 'wheel')


def run_demo(python, where, **environment):
    """The command without arguments but for shorter work, in a folder of its own."""
    where.mkdir()
    command = [python, '-m', 'solo_bg', '--device', 'cpu', '--quiet', '--limit', '1', '--on-empty', 'black']
    inherited = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        list(map(str, command)), cwd=where, env=inherited | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (where / 'out/manifest.jsonl').read_text().splitlines()]


def test_the_wheel_carries_the_bundled_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in bundled.list_files():
            assert archive.read(f'solo_bg/bundled_files/{name}') == (ROOT / name).read_bytes()
    assert len(bundled.list_files()) == 4 + len(list((ROOT / 'demo/images').iterdir()))
    assert 'solo_bg/py.typed' in names and 'solo_bg/old_module.py' not in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'solo_bg').rglob('*.py')}
    carried = {'solo_bg/bundled_files/configs/solo_bg_tiny.py'}
    assert {name for name in names if name.endswith('.py')} == modules | carried
    assert all(name.startswith(('solo_bg/', 'solo_bg-')) for name in names)


def test_the_wheel_depends_on_no_mmdet(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith('/METADATA')]
    wanted = re.findall(r'^Requires-Dist: (.+)', metadata, re.MULTILINE)
    stack = [line for line in wanted if re.match(r'(onedl-)?mm(det|cv|engine)', line)]
    assert len(stack) == 3 and all('extra == "onedl"' in line for line in stack)
    assert any(line.startswith('torch') and 'extra' not in line for line in wanted)


def test_the_demo_runs_from_the_unpacked_wheel(wheel, tmp_path):
    site = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    lines = run_demo(sys.executable, tmp_path / 'elsewhere', PYTHONPATH=str(site))
    assert [line['input'] for line in lines] == [str(site / 'solo_bg/bundled_files/demo/images/astronaut.png')]
    assert (tmp_path / 'elsewhere/out' / lines[0]['outputs']['eliminated']).is_file()


def test_a_clone_uses_its_own_files_and_an_installed_package_torch_s_cache(tmp_path, monkeypatch):
    assert bundled.ROOT == ROOT and checkpoint_folder() == ROOT / 'checkpoints'
    monkeypatch.setattr(bundled, 'IN_CLONE', False)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    assert checkpoint_folder() == tmp_path / 'hub/checkpoints'


@pytest.mark.slow
def test_the_demo_runs_in_a_clean_environment(wheel, tmp_path):
    """Only solo_bg is installed there; the other packages are those of the present environment."""
    venv.create(tmp_path / 'venv', with_pip=True)
    python = tmp_path / 'venv/bin/python'
    pip = [python, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', wheel]
    subprocess.run(list(map(str, pip)), check=True)
    (site,) = (tmp_path / 'venv/lib').glob('*/site-packages')
    packages = [path for path in sys.path if path.endswith('site-packages')]
    (site / 'others.pth').write_text('\n'.join(packages))  # .pth files in those are not read: no editable solo_bg
    lines = run_demo(python, tmp_path / 'elsewhere')
    assert [line['input'] for line in lines] == [str(site / 'solo_bg/bundled_files/demo/images/astronaut.png')]
    printed = subprocess.run([tmp_path / 'venv/bin/eliminate_bg', '--help'], capture_output=True, check=True)
    assert b'usage: eliminate_bg' in printed.stdout


@pytest.mark.slow
def test_a_source_distribution_builds_the_same_wheel(clone, wheel, tmp_path):
    shutil.unpack_archive(build(clone, 'sdist'), tmp_path)
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, 'wheel')
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_the_workflow_runs_what_the_gate_runs():
    workflow = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())
    steps = [step.get('run') for job in workflow['jobs'].values() for step in job['steps']]
    assert '.ci/run' in steps
