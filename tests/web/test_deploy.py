"""The container's files against the repository. An image is not built here."""

import json
import re

import pytest
import yaml
from conftest import ROOT

from solo_bg.cli.serving import parse

CONTAINERFILE = (ROOT / 'deploy/Containerfile').read_text()
COMPOSE = yaml.safe_load((ROOT / 'deploy/compose.yaml').read_text())


def pins(name):
    return dict(re.findall(r'^([\w-]+)==(\S+)', (ROOT / name).read_text(), re.MULTILINE))


def test_the_container_has_the_versions_that_the_tests_run_with():
    assert pins('deploy/requirements.txt').items() <= pins('requirements-test.txt').items()
    assert 'torch' in pins('requirements.txt')


def test_every_file_that_is_copied_exists():
    for words in re.findall(r'^COPY (.+)', CONTAINERFILE, re.MULTILINE):
        assert all((ROOT / word).exists() for word in words.split()[:-1]), words


@pytest.mark.parametrize('name', COMPOSE['services'])
def test_compose_builds_stages_that_exist(name):
    build = COMPOSE['services'][name]['build']
    assert (ROOT / 'deploy' / build['context'] / build['dockerfile']).is_file()
    assert f' AS {build["target"]}\n' in CONTAINERFILE


def test_the_container_s_command_needs_the_token_that_compose_gives(monkeypatch, capsys):
    words = json.loads(re.search(r'^ENTRYPOINT (.+)', CONTAINERFILE, re.MULTILINE)[1])
    assert words[:4] == ['python', '-m', 'solo_bg', 'serve']
    monkeypatch.delenv('SOLO_BG_TOKEN', raising=False)
    with pytest.raises(SystemExit):
        parse(words[4:])
    assert '--token' in capsys.readouterr().err
    for variable in COMPOSE['services']['solo_bg']['environment']:
        monkeypatch.setenv(variable, 's3cret')
    serving = parse(words[4:])
    assert f'EXPOSE {serving.port}\n' in CONTAINERFILE and f':{serving.port}/api/health' in CONTAINERFILE
    assert COMPOSE['services']['solo_bg']['ports'] == [f'127.0.0.1:{serving.port}:{serving.port}']
