"""Inputs without CONFIG and CHECKPOINT: the bundled model is used."""

import json
import os
from pathlib import Path

import cv2
import pytest
from conftest import CHECKPOINT, CONFIG, ROOT

from solo_bg import bundled
from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse
from solo_bg.scenes import draw_scene


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working folder has `photos/` with two images, and a list of them."""
    monkeypatch.chdir(tmp_path)
    os.mkdir('photos')
    for name in ('a.jpg', 'b.PNG'):
        cv2.imwrite(f'photos/{name}', draw_scene(1, 96, 128)[0])
    (tmp_path / 'list.txt').write_text('photos/a.jpg\n')


@pytest.mark.usefixtures('photos')
@pytest.mark.parametrize('inputs', [['photos'], ['photos/a.jpg'], ['photos/b.PNG', 'nowhere.jpg'], ['@list.txt']])
def test_the_bundled_model_is_chosen(inputs):
    settings = parse(inputs).settings
    assert (settings.config, settings.checkpoint) == (str(CONFIG), str(CHECKPOINT)) and settings.inputs == inputs


@pytest.mark.usefixtures('photos')
def test_the_command_runs_it():
    assert cli.main(['photos/a.jpg', '--styles', 'mask', '--on-empty', 'black', '--device', 'cpu', '--quiet']) == 0
    (line,) = map(json.loads, Path('out/manifest.jsonl').read_text().splitlines())
    assert line['input'] == 'photos/a.jpg' and os.path.isfile('out/mask/a.png')


@pytest.mark.usefixtures('photos')
@pytest.mark.parametrize('paths', [['nowhere.jpg'], ['nowhere/', 'photos'], ['list.txt', 'photos']])
def test_what_names_no_image_is_no_input(paths, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(paths)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert f'got {" ".join(paths)}' in error and 'give only images and folders that exist' in error


@pytest.mark.usefixtures('photos')
def test_three_paths_are_a_model_and_an_input():
    settings = parse([str(CONFIG), 'w.pth', 'photos']).settings
    assert (settings.config, settings.checkpoint, settings.inputs) == (str(CONFIG), 'w.pth', ['photos'])


def test_bundled_paths_are_short_where_they_can_be(monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = parse([]).settings
    assert (settings.config, settings.inputs) == ('configs/solo_bg_tiny.py', ['demo/images'])
    monkeypatch.chdir(ROOT / 'tests')
    assert parse([]).settings.inputs == [str(bundled.DEMO_IMAGES)]
