"""The page with the server and the bundled model behind it. Run by `make test-web`."""

import base64
import os
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
import torch
from browser import Visitor, open_browser, opened, png
from conftest import ROOT

from solo_bg.coco.rle import crop_of, from_text
from solo_bg.core.instances import Instances
from solo_bg.disk.decode import decode_image
from solo_bg.draw.compose import eliminate_background

pytestmark = pytest.mark.web
PHOTO = ROOT / 'demo/images/coffee.png'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """The address of a server that was started as a person starts one."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp('server') / 'log.txt'
    command = [sys.executable, '-m', 'solo_bg', 'serve', '--port', str(port), '--device', 'cpu', '--threads', '1']
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    with log.open('w') as lines, subprocess.Popen(command, stdout=lines, stderr=lines, env=environment) as process:
        try:
            wait_for(f'http://127.0.0.1:{port}/api/health', process, log)
            yield f'http://127.0.0.1:{port}'
        finally:
            process.terminate()


def wait_for(address, process, log):
    for _ in range(600):
        try:
            httpx.get(address).raise_for_status()
            return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    pytest.fail(f'the server does not answer: {log.read_text()}')


@pytest.fixture
def visitor(server):
    with open_browser() as browser:
        yield Visitor(browser.new_page(), server)


def post(server, path, data, **fields):
    response = httpx.post(server + path, files={'image': ('image', data)}, data=fields, timeout=120)
    assert response.status_code == 200, response.text
    return response


def instances_of(answer):
    """The instances of an answer to /api/segment, their masks read from the run-length code."""
    size = answer['image']['height'], answer['image']['width']
    found = answer['instances']
    masks = torch.zeros(len(found), *size, dtype=torch.bool)
    for mask, one in zip(masks, found, strict=True):
        x0, y0, x1, y1 = one['box']
        mask[y0:y1, x0:x1] = torch.from_numpy(crop_of(from_text(one['segmentation']['counts']), one['box'], size))
    labels, scores = torch.tensor([one['label'] for one in found]), torch.tensor([one['score'] for one in found])
    return Instances(masks, labels, scores, answer['class_names'])


def test_upload_click_an_instance_away_and_download(server, visitor):
    photo = PHOTO.with_name('motorcycle_left.png')  # each of its instances keeps some pixels alone
    data = photo.read_bytes()
    visitor.choose({photo.name: data})
    commands = opened(post(server, '/api/eliminate', data, styles='eliminated', score_thr='0.3').content)
    assert np.array_equal(opened(visitor.download('save-picture')[1]), commands)
    found = instances_of(post(server, '/api/segment', data, score_thr='0.3').json())
    assert visitor.status() == f'Downloaded: {photo.stem}_eliminated.png.'
    assert visitor.page.locator('#chips button').count() == len(found)
    alone = found.masks.sum(0) == 1  # pixels that no other instance keeps
    index = int(found.owner_map[alone].int().bincount().argmax())
    places = (alone & (found.owner_map == index)).nonzero()
    y, x = places[len(places) // 2].tolist()
    visitor.option('Result')
    visitor.click_pixel(x, y)
    assert visitor.status().startswith(f'{found.names[index]} is taken out')
    rest = found[[one for one in range(len(found)) if one != index]]
    expected = eliminate_background(decode_image(data), rest)[..., ::-1]
    assert not np.array_equal(expected, commands)
    assert np.array_equal(opened(visitor.download('save-picture')[1]), expected)
    assert not visitor.complaints


def test_the_page_s_owner_map_is_the_server_s(server, visitor):
    data = PHOTO.read_bytes()
    visitor.choose({PHOTO.name: data})
    visitor.slide('threshold', 0.05)
    answer = post(server, '/api/segment', data, score_thr='0.05').json()
    theirs = opened(base64.b64decode(answer['owner_map'].partition(',')[2]))
    assert len(answer['instances']) > 50
    assert np.array_equal(visitor.array('picture.owner', np.uint16, theirs.shape), theirs)


def test_a_transparent_image_comes_from_the_server(server, visitor):
    photo = decode_image(PHOTO.read_bytes())
    alpha = (np.arange(photo.shape[1]) % 256).astype(np.uint8)
    data = png(np.dstack([photo, np.broadcast_to(alpha, photo.shape[:2])]))
    visitor.choose({'transparent.png': data})
    commands = opened(post(server, '/api/eliminate', data, styles='eliminated', score_thr='0.3').content)
    assert np.array_equal(opened(visitor.download('save-picture')[1]), commands)


def test_the_server_s_reason_is_shown(visitor):
    visitor.choose({'cut.png': PHOTO.read_bytes()[:5000]}, ready='')
    alert = visitor.page.get_by_role('alert')
    alert.wait_for()
    assert 'cut.png could not be used' in alert.inner_text() and 'What to do' in alert.inner_text()
