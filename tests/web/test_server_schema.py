"""The API against its own OpenAPI description: schemathesis sends what the description allows, and what it forbids."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT
from local_server import running

# texts that the description allows may be no image, or name no class
CONFIG = """
hooks = "image_hook.py"
[checks]
positive_data_acceptance.expected-statuses = ["200", "422"]
"""
HOOK = """
import schemathesis
from hypothesis import strategies
from local_server import picture, png

images = strategies.sampled_from([png(picture(seed, 20, 30)) for seed in range(3)])
schemathesis.openapi.media_type('image/png', images)
"""


@pytest.mark.slow
def test_the_server_keeps_to_its_description(tmp_path):
    (tmp_path / 'schemathesis.toml').write_text(CONFIG)
    (tmp_path / 'image_hook.py').write_text(HOOK)
    paths = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / 'tests/web')))
    with running() as client:
        command = [sys.executable, '-m', 'schemathesis.cli', 'run', f'{client.base_url}/openapi.json', '--no-color']
        command += ['--max-examples', '100', '--seed', '1', '--no-shrink', '--continue-on-failure', '--warnings', 'off']
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {'PYTHONPATH': paths}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert 'Tested: 4' in done.stdout
