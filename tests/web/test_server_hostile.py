"""Requests that mean harm: no answer is a 500, no file is opened, and the server goes on."""

import io
import os
import random
import sys
import tempfile
import zipfile

import awkward
import pytest
from channels_source import Channels
from local_server import error_of, png, running, send
from PIL import Image

OPENED = []  # (path, flags) while `watching`
watching = False


def note(event, arguments):
    if watching and event == 'open':
        OPENED.append((os.fspath(arguments[0]), arguments[2] or 0))


sys.addaudithook(note)  # cannot be removed again


@pytest.fixture(scope='module')
def client():
    with running(None, '--max-pixels', '1000000', body=5_000_000) as client:
        send(client, 'eliminate')  # whatever is imported at the first request
        yield client


@pytest.fixture(autouse=True)
def opened():
    """What the process opened for writing during the test, temporary files included, and what requests named."""
    global watching
    OPENED.clear()
    watching = True
    yield
    watching = False
    named = [path for path, _ in OPENED if 'passwd' in str(path) or 'evil' in str(path)]
    written = [path for path, flags in OPENED if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull]
    assert named == [] and written == []


def test_the_watch_sees_what_is_written():
    with tempfile.TemporaryFile():
        assert [path for path, flags in OPENED if flags & (os.O_WRONLY | os.O_RDWR)]
    OPENED.clear()


def test_broken_images_are_refused(client):
    cases = awkward.broken()
    assert len(cases) > 100
    for index, (name, data) in enumerate(cases.items()):
        error = error_of(send(client, ('segment', 'eliminate')[index % 2], data, name), 422)
        assert error['given'].startswith('a file that '), name
    assert send(client).status_code == 200


@pytest.mark.slow  # tests/disk reads the same files
def test_readable_images_of_every_kind_are_taken(client):
    for name, (data, *_) in awkward.readable().items():
        assert send(client, data=data, name=name).status_code == 200, name


def test_more_pixels_than_allowed_are_refused_by_the_header(client):
    buffer = io.BytesIO()
    Image.new('L', (1001, 1000)).save(buffer, 'PNG')
    assert '1001000 pixels' in error_of(send(client, data=buffer.getvalue()), 422)['given']


def test_large_uploads_stay_in_memory(client):
    padded = png() + bytes(4_000_000)  # after the end of a PNG anything may follow
    assert send(client, data=padded).status_code == 200


NAMES = [
    '../../etc/passwd',
    '/etc/passwd',
    'C:\\evil.png',
    '..',
    '.',
    '',
    'evil\0.png',
    'evil.png/',
    '$(evil)',
    'http://127.0.0.1/evil.png',
    '@evil.txt',
    'x' * 2000,
    'é\u202e\n.png',
]


@pytest.mark.parametrize('name', NAMES, ids=range(len(NAMES)))
def test_names_are_no_paths(client, name):
    response = send(client, 'eliminate', name=name, fill='noise', styles='eliminated,mask')
    assert response.status_code == 200 or name == ''  # without a name it is no file
    if response.status_code == 200:
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            assert archive.namelist() == ['eliminated.png', 'mask.png']
    else:
        error_of(response, 422)


def raw(client, body, kind='multipart/form-data; boundary=b'):
    return client.post('/api/eliminate', content=body, headers={'content-type': kind})


def part(disposition, data):
    return b'--b\r\nContent-Disposition: ' + disposition + b'\r\n\r\n' + data + b'\r\n'


IMAGE = part(b'form-data; name="image"; filename="a.png"', png())
STRANGE = {
    'a charset that makes surrogates': (IMAGE + part(b'form-data; name="+2AA-"', b'1') + b'--b--', '; charset=utf-7'),
    'a name of surrogates': (
        part(b'form-data; name="image"; filename="+2AA-.png"', png()) + b'--b--',
        '; charset=utf-7',
    ),
    'a charset that is a codec of bytes': (IMAGE + part(b'form-data; name="soft"', b'x') + b'--b--', '; charset=zip'),
    'a charset that fails': (IMAGE + part(b'form-data; name="soft"', b'xn--\xff') + b'--b--', '; charset=idna'),
    'no end': (IMAGE + part(b'form-data; name="soft"', b'true'), ''),
    'no name': (part(b'form-data', b'x') + b'--b--', ''),
    'many parts': (IMAGE + part(b'form-data; name="x"', b'y') * 3000 + b'--b--', ''),
    'a long text': (IMAGE + part(b'form-data; name="classes"', b'y' * 100_000) + b'--b--', ''),
    'a long header': (b'--b\r\nX: ' + b'y' * 100_000 + b'\r\n\r\n\r\n--b--', ''),
    'only boundaries': (b'--b\r\n' * 10_000, ''),
    'nothing': (b'', ''),
    'zeros': (bytes(100_000), ''),
    'options of zeros': (IMAGE + part(b'form-data; name="seed"', b'\0') + b'--b--', ''),
    'digits of another script': (IMAGE + part(b'form-data; name="seed"', '٣²'.encode()) + b'--b--', ''),
}


@pytest.mark.parametrize('case', STRANGE)
def test_strange_forms(client, case):
    body, more = STRANGE[case]
    response = raw(client, body, 'multipart/form-data; boundary=b' + more)
    assert response.status_code == 200 or error_of(response, response.status_code)
    assert response.status_code in (200, 400, 422)


TEXTS = ['', '0', '-1', '1e999', 'NaN', 'true', '\0', '../..', 'zero', '255,255,256', 'a' * 3000, '٣', '%s%n', "';--"]
FIELDS = ['score_thr', 'classes', 'styles', 'format', 'quality', 'fill', 'mix', 'refine', 'refine_options', 'soft']
FIELDS += ['dilate', 'on_empty', 'sort_by_density', 'seed', 'image', 'out', '__class__', 'fill[]']


def send_fields_at_random(client, dice):
    options = {dice.choice(FIELDS): dice.choice(TEXTS) for _ in range(dice.randint(1, 4))}
    response = send(client, dice.choice(['segment', 'eliminate']), **options)
    assert response.status_code == 200 or error_of(response, response.status_code)
    assert response.status_code in (200, 400, 422), options


def send_a_damaged_image(client, dice, wholes):
    data = bytearray(dice.choice(wholes))
    for _ in range(dice.randint(1, 5)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    assert send(client, data=bytes(data)).status_code in (200, 422)


@pytest.mark.parametrize('count', [40, pytest.param(500, marks=pytest.mark.slow)])
def test_requests_at_random(client, count):
    dice, wholes = random.Random(17), [data for data, *_ in awkward.readable().values() if len(data) < 100_000]
    for _ in range(count):
        send_fields_at_random(client, dice)
        send_a_damaged_image(client, dice, wholes)
    assert send(client).status_code == 200


class Faulty(Channels):
    def __call__(self, images):
        raise ZeroDivisionError('a fault of the source')


def test_a_fault_of_the_server_is_a_500_without_details():
    with running(Faulty()) as client:
        for path in ('segment', 'eliminate'):
            error = error_of(send(client, path), 500)
            assert 'fault' not in error['given'] and 'Zero' not in str(error)
        assert client.get('/api/health').status_code == 200


class Lost(Channels):
    def __call__(self, images):
        raise RuntimeError('CUDA error: an illegal memory access was encountered')


def test_a_lost_device_stops_the_server():
    with running(Lost()) as client:
        stopped = []
        client.engine.on_lost = lambda: stopped.append(True)
        assert 'illegal memory access' in error_of(send(client), 503)['given']
        assert 'illegal memory access' in error_of(client.get('/api/health'), 503)['given']
        error_of(send(client), 503)
        assert stopped == [True]
