"""Against a small server on loopback: slow, truncated, of a wrong hash, 404, resumed half-way, killed half-way."""

import hashlib
import http.server
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import CONFIG
from filelock import FileLock

from solo_bg import SetupError
from solo_bg.models import zoo
from solo_bg.models.download import download
from solo_bg.models.find import find_config, find_weights

DATA = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
NAME = f'solo-{hashlib.sha256(DATA).hexdigest()[:8]}.pth'


class Handler(http.server.BaseHTTPRequestHandler):
    """What it does depends on the first part of the path."""

    def do_GET(self):
        how = self.path.split('/')[1]
        self.server.seen.append((how, self.headers.get('Range')))
        if how == 'missing':
            return self.send_error(404)
        start = int((self.headers.get('Range') or 'bytes=0-')[6:-1]) if how != 'whole' else 0
        if start >= len(DATA):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if how != 'unsaid':
            self.send_header('Content-Length', str(len(DATA) - start))
        self.end_headers()
        body = bytes(len(DATA)) if how == 'wrong' else DATA[start:]
        try:
            if how == 'truncated':
                self.wfile.write(body[:1_000_000])
            elif how == 'stuck':
                self.wfile.write(body[:1000])
                self.wfile.flush()
                time.sleep(3)
            elif how == 'slow':
                for at in range(0, len(body), 100_000):
                    self.wfile.write(body[at : at + 100_000])
                    time.sleep(0.02)
            else:
                self.wfile.write(body)
        except OSError:
            pass  # the client has gone

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def address(server, how, name=NAME):
    return f'http://127.0.0.1:{server.server_port}/{how}/{name}'


@pytest.mark.parametrize('how', ['plain', 'slow', 'unsaid'])
def test_it_comes_whole(server, tmp_path, how):
    told = []
    path = download(address(server, how), tmp_path / 'new' / NAME, lambda *seen: told.append(seen))
    assert path.read_bytes() == DATA and list(path.parent.iterdir()) == [path]
    assert [there for there, _ in told] == sorted(there for there, _ in told) and told[-1][0] == len(DATA)
    assert told[-1][1] == (None if how == 'unsaid' else len(DATA))


def test_a_truncated_file_is_no_file_and_goes_on(server, tmp_path):
    target = tmp_path / NAME
    with pytest.raises(SetupError, match='ended after 1000000 of 3000000 bytes; run the same command again'):
        download(address(server, 'truncated'), target)
    assert not target.exists()
    assert download(address(server, 'plain'), target).read_bytes() == DATA
    assert server.seen[-1] == ('plain', 'bytes=1000000-')


def test_a_server_that_knows_no_ranges_begins_again(server, tmp_path):
    (tmp_path / f'{NAME}.part').write_bytes(b'x' * 500)
    assert download(address(server, 'whole'), tmp_path / NAME).read_bytes() == DATA


def test_all_is_there_but_the_name(server, tmp_path):
    (tmp_path / f'{NAME}.part').write_bytes(DATA)
    assert download(address(server, 'plain'), tmp_path / NAME).read_bytes() == DATA


@pytest.mark.parametrize('beginning', [b'', b'x' * 500])
def test_another_hash_is_refused_and_nothing_of_it_is_kept(server, tmp_path, beginning):
    how = 'plain' if beginning else 'wrong'
    if beginning:
        (tmp_path / f'{NAME}.part').write_bytes(beginning)
    with pytest.raises(SetupError, match='does not match solo-'):
        download(address(server, how), tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_no_such_file(server, tmp_path):
    with pytest.raises(SetupError, match=r'missing/solo-.* answers 404 .*; download it on a machine .*curl -L'):
        download(address(server, 'missing'), tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_says_no_more(server, tmp_path):
    with pytest.raises(SetupError, match=r'cannot be reached: .*timed out'):
        download(address(server, 'stuck'), tmp_path / NAME, timeout=0.5)
    assert (tmp_path / f'{NAME}.part').stat().st_size == 1000


@pytest.mark.parametrize('url', ['http://127.0.0.1:9/a.pth', 'http://no.such.host.invalid/a.pth', 'nonsense'])
def test_no_network(tmp_path, url):
    with pytest.raises(SetupError, match='cannot be reached'):
        download(url, tmp_path / 'a.pth')


def test_killed_half_way(server, tmp_path):
    code = 'from pathlib import Path; from solo_bg.models.download import download; '
    code += f'download({address(server, "slow")!r}, '
    child = subprocess.Popen([sys.executable, '-c', f'{code}Path({str(tmp_path / NAME)!r}))'])
    part = tmp_path / f'{NAME}.part'
    while not (part.exists() and part.stat().st_size > 300_000):
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert not (tmp_path / NAME).exists() and 0 < part.stat().st_size < len(DATA)
    assert download(address(server, 'plain'), tmp_path / NAME).read_bytes() == DATA
    assert int(server.seen[-1][1][6:-1]) > 0


def test_of_several_processes_one_downloads(server, tmp_path):
    code = 'from pathlib import Path; from solo_bg.models.download import download; '
    code += f'download({address(server, "slow")!r}, '
    words = [sys.executable, '-c', f'{code}Path({str(tmp_path / NAME)!r}))']
    children = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [child.communicate()[1] for child in children] == ['', '', '']
    assert (tmp_path / NAME).read_bytes() == DATA and [path.name for path in tmp_path.iterdir()] == [NAME]
    assert len(server.seen) == 1


def test_a_disk_that_takes_nothing_is_not_blamed_on_the_network(server, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SetupError, match=r'file/a\.pth cannot be written: '):
        download(address(server, 'plain'), tmp_path / 'file/a.pth')
    if Path('/dev/full').exists():
        (tmp_path / f'{NAME}.part').symlink_to('/dev/full')
        with pytest.raises(SetupError, match=r'part cannot be written: No space left'):
            download(address(server, 'plain'), tmp_path / NAME)


def test_models_go_by_the_names_of_their_configs_too():
    assert zoo.find('mask-rcnn_r50_fpn_gn_ws-all_2x_coco').config.is_file()
    assert zoo.find('mask-rcnn_r50_fpn-carafe_1x_coco').weights
    with pytest.raises(SetupError, match='knows the models of mmdet only'):
        find_weights(str(CONFIG), 'auto')


def test_mmdets_models():
    models = zoo.models('solo')
    model = models['solo_r50_fpn_1x_coco']
    assert model.config.is_file() and model.mask_ap == 33.1 and model.file_name.endswith('-2290a6b8.pth')
    assert zoo.find('mask-rcnn_r50_fpn_1x_coco').mask_ap == 34.7
    unlisted = zoo.find('solov2_r101_fpn_ms-3x_coco')  # a config without weights, in no metafile
    assert unlisted.config.is_file() and unlisted.weights is None
    with pytest.raises(SetupError, match=r'no model of this name; the nearest: .*solo_r50_fpn_1x_coco'):
        zoo.find('solo_r50_fpm_1x_coco')


@pytest.mark.parametrize(
    ('beginning', 'name'),
    [
        ('solo_r50', 'solo_r50_fpn_1x_coco'),
        ('solo', 'solo_r50_fpn_1x_coco'),
        ('solo_r50_fpn_3x', 'solo_r50_fpn_3x_coco'),
        ('mask2former', 'mask2former_r50_8xb2-lsj-50e_coco'),
        ('mask-rcnn', 'mask-rcnn_r50_fpn_1x_coco'),
        ('solov2_r50_fpn', 'solov2_r50_fpn_1x_coco'),
    ],
)
def test_the_beginning_of_a_name_finds_the_model(beginning, name, caplog):
    """Those with weights and a mask AP first, then the shortest name, then the alphabet; the log says which."""
    assert zoo.find(beginning).name == name
    assert find_config(beginning) == str(zoo.find(name).config)
    assert caplog.messages == [f'{beginning} is short for {name}']
    caplog.clear()
    assert find_config(name) == find_config(str(zoo.find(name).config)) and not caplog.messages


@pytest.mark.parametrize('beginning', ['solo_r5', 'r50', '', 'solo_r50.*'])
def test_a_beginning_ends_with_a_word(beginning):
    with pytest.raises(SetupError, match='no model of this name'):
        zoo.find(beginning)


def test_a_config_of_the_users_is_not_taken_for_the_beginning_of_a_name(tmp_path):
    (tmp_path / 'solo.py').write_text('')
    with pytest.raises(SetupError, match='knows the models of mmdet only'):
        find_weights(str(tmp_path / 'solo.py'), 'auto')


@pytest.mark.parametrize('failure', [OSError(95, 'Operation not supported'), NotImplementedError()])
def test_a_disk_without_locks(server, tmp_path, monkeypatch, failure):
    def acquire(self):
        raise failure

    monkeypatch.setattr(FileLock, 'acquire', acquire)
    assert download(address(server, 'plain'), tmp_path / NAME).read_bytes() == DATA
