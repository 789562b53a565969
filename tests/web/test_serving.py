"""`python -m solo_bg serve`: its options, its batches, and its life as a process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from conftest import CHECKPOINT, CONFIG, ROOT
from local_server import error_of, png, send, wait_until

from solo_bg.cli.fields import picture_fields
from solo_bg.cli.serving import OPTIONS, Limits, build_parser, parse
from solo_bg.sources import SOURCES, load_source
from solo_bg.web.app import script_hashes
from solo_bg.web.batches import Batches
from solo_bg.web.forms import LARGEST
from solo_bg.web.main import main
from solo_bg.web.schema import OF_FORMS


def test_the_bundled_model_is_the_default():
    serving = parse([])
    assert (serving.host, serving.port, serving.token, serving.limits) == ('127.0.0.1', 5003, None, Limits())
    assert (serving.settings.config, serving.settings.checkpoint) == (str(CONFIG), str(CHECKPOINT))
    assert serving.settings.max_pixels == 50_000_000 and serving.settings.source is None


def test_a_model_and_the_options_of_the_server():
    words = (
        'a.py b.pth --device cpu --batch-size 3 --max-pixels 9 --cfg-options x=1 y=2 --queue 5 --max-body 7 --timeout 8'
    )
    serving = parse(words.split())
    settings, limits = serving.settings, serving.limits
    assert (settings.config, settings.checkpoint, settings.device) == ('a.py', 'b.pth', 'cpu')
    assert (settings.batch_size, settings.max_pixels, settings.cfg_options) == (3, 9, ['x=1', 'y=2'])
    assert limits == Limits(body=7_000_000, queue=5, seconds=8)


def test_a_source_without_a_model():
    settings = parse(['--source', 'kmeans', '--source-options', 'clusters=3']).settings
    assert (settings.source, settings.config, settings.source_options) == ('kmeans', '', {'clusters': '3'})


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        ('--host 0.0.0.0', 'expected a --token'),
        ('--host photos.example', 'expected a --token'),
        ('--token ä', 'printable ASCII'),
        ('--port 70000', 'from 0 to 65535'),
        ('only.py', 'expected CONFIG CHECKPOINT'),
        ('--source kmeans a.py b.pth', 'no model'),
        ('--source gt', 'annotations, which a server does not have'),
        ('--source nothing', 'no source is called'),
        ('--out x', 'unrecognized arguments'),
        ('--queue 0', 'at least 1'),
    ],
)
def test_command_lines_that_are_refused(words, reason, capsys, monkeypatch):
    monkeypatch.delenv('SOLO_BG_TOKEN', raising=False)
    with pytest.raises(SystemExit) as stopped:
        parse(words.split())
    assert stopped.value.code == 2 and reason in capsys.readouterr().err


def test_the_help_lists_the_sources_that_a_server_takes():
    text = ' '.join(build_parser().format_help().split())
    listed = text.split('source of the masks: ')[1].split(', or module:Class')[0].replace('- ', '-').split(', ')
    assert listed == [name for name in SOURCES if not load_source(name).needs_annotations]


def test_a_token_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv('SOLO_BG_TOKEN', 's3cret')
    assert parse(['--host', '0.0.0.0']).token == 's3cret'
    assert parse(['--host', '::1', '--token', 'other']).token == 'other'


def test_every_option_is_the_command_s_server_s_or_a_field():
    """An option of the command that is new has to be given a place: see `OPTIONS` in solo_bg/cli/serving.py."""
    from solo_bg.cli import arguments

    of_server = {flag for action in build_parser()._actions for flag in action.option_strings}
    of_runs = {
        *('--out', '-o', '--ann', '--missed', '--min-recall', '--min-iou', '--segmentation', '--strict', '--resume'),
        *(
            '--overwrite',
            '--limit',
            '--dry-run',
            '--quiet',
            '--version',
            '--shard',
            '--merge',
            '--engine',
            '--ray-address',
        ),
    }
    fields = {f'--{name.replace("_", "-")}' for name in picture_fields()}
    known = {flag for action in arguments.build_parser()._actions for flag in action.option_strings}
    assert of_runs.isdisjoint(of_server | fields) and fields.isdisjoint(of_server)
    assert known - of_server - fields >= of_runs


def test_the_page_of_the_server_has_its_options_its_limits_and_its_statuses():
    text = (ROOT / 'docs/server.md').read_text(encoding='utf-8')
    (group,) = [group for group in build_parser()._action_groups if group.title == 'the server']
    for action in group._group_actions:
        (row,) = [line for line in text.splitlines() if line.startswith(f'| `{action.option_strings[0]} ')]
        assert row.split(' | ')[1] == ('-' if action.default is None else str(action.default))
    for flag in OPTIONS:
        assert f'`{flag}' in text
    for status in OF_FORMS:
        assert f'{status}' in text.split('### Errors')[1].split('## Limits')[0]
    assert f'may be {max(LARGEST.values())} at most' in text.replace('\n', ' ')


def test_an_address_that_is_taken(capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        assert main(['--source', 'kmeans', '--port', str(port)]) == 2
    assert f'cannot listen on 127.0.0.1, port {port}' in capsys.readouterr().err


def test_batches_hand_out_results_and_errors():
    def work(items):
        if 'bad' in items:
            raise ValueError('bad')
        return [item * 2 for item in items]

    async def ask():
        with ThreadPoolExecutor(1) as thread:
            batches = Batches(work, 2, thread)
            asked = [
                asyncio.ensure_future(batches.ask(item, shape))
                for item, shape in zip([1, 'bad', 2, 3], 'aaba', strict=True)
            ]
            left = asyncio.ensure_future(batches.ask(4, 'a'))
            await asyncio.sleep(0)
            left.cancel()
            running = asyncio.ensure_future(batches.run())
            results = await asyncio.gather(*asked, return_exceptions=True)
            running.cancel()
            return results, batches.waiting

    results, waiting = asyncio.run(ask())
    assert list(map(str, results)) == ['bad', 'bad', '4', '6'] and waiting == []


def test_scripts_of_the_page_are_allowed_by_their_hash():
    assert script_hashes(b'<p>no script</p>') == ''
    page = b"<script>alert('Hello, world.');</script>"  # the example of the specification of CSP, section 2.3.1
    assert script_hashes(page) == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


@pytest.fixture
def process(tmp_path):
    """A server as its own process, which finds masks without a model."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, '-m', 'solo_bg', 'serve', '--source', 'kmeans', '--port', str(port)]
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as started:
        started.address = f'http://127.0.0.1:{port}'
        wait_until(lambda: answers(started), 120)
        yield started
        started.kill()
    assert list(tmp_path.iterdir()) == []


def answers(process):
    assert process.poll() is None, process.stdout.read()
    try:
        return httpx.get(f'{process.address}/api/health', trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_its_last_answer(process, number):
    with httpx.Client(base_url=process.address, timeout=60, trust_env=False) as client, ThreadPoolExecutor(4) as pool:
        assert send(client).status_code == 200
        error_of(send(client, data=b'x'), 422)
        waiting = [pool.submit(send, client, data=png()) for _ in range(4)]
        wait_until(lambda: any(one.done() for one in waiting))
        process.send_signal(number)
        finished = [one.result().status_code for one in waiting if one.exception() is None]
        assert finished and set(finished) == {200}
    assert process.wait(60) == 0
    assert 'Traceback' not in process.stdout.read()
