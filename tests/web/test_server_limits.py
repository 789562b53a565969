"""The limits of the server: size, places, time, and who may ask."""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from channels_source import Channels
from local_server import error_of, picture, png, running, send, wait_until

HEAD = b'POST /api/segment HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n'


@pytest.fixture
def source():
    source = Channels()
    yield source
    source.may_go.set()


def chunks(size, count):
    return (bytes(size) for _ in range(count))


def test_bodies_that_are_too_large():
    with running(body=100_000) as client:
        kind = {'content-type': 'multipart/form-data; boundary=b'}
        error = error_of(client.post('/api/segment', content=bytes(100_001), headers=kind), 413)
        assert '100001 bytes' in error['given'] and 'at most 100000' in error['expected']
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        sent = client.post('/api/segment', content=iter([head, *chunks(20_000, 6)]), headers=kind)
        assert 'more than 100000 bytes' in error_of(sent, 413)['given']
        assert send(client).status_code == 200


def test_more_requests_than_places(source):
    source.may_go.clear()
    with running(source, queue=3) as client, ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(send, client) for _ in range(3)]
        wait_until(lambda: len(source.batches) == 1 and len(client.engine.batches.waiting) == 2)
        refused = send(client)
        assert 'at most 3' in error_of(refused, 503)['expected'] and int(refused.headers['retry-after']) > 0
        assert client.get('/api/health').status_code == 200
        source.may_go.set()
        assert [one.result().status_code for one in waiting] == [200] * 3
        assert send(client).status_code == 200


def test_requests_of_one_shape_that_wait_share_a_batch(source):
    source.may_go.clear()
    with running(source, '--batch-size', '4', '--workers', '8') as client, ThreadPoolExecutor(8) as pool:
        first = pool.submit(send, client, name='first')
        wait_until(lambda: source.batches == [['first']])
        small, large = png(), png(picture(height=50))
        others = [pool.submit(send, client, data=small, name=f'small{index}') for index in range(5)]
        wait_until(lambda: len(client.engine.batches.waiting) == 5)
        others.append(pool.submit(send, client, data=large, name='large'))
        wait_until(lambda: len(client.engine.batches.waiting) == 6)
        source.may_go.set()
        assert all(one.result().status_code == 200 for one in [first, *others])
    assert [len(batch) for batch in source.batches] == [1, 4, 1, 1]
    assert {name[:5] for name in source.batches[1]} == {'small'} and ['large'] in source.batches


def test_a_client_that_leaves_takes_its_request_along(source):
    source.may_go.clear()
    with running(source, queue=2) as client:
        blocking = threading.Thread(target=send, args=(client,), kwargs={'name': 'stays'})
        blocking.start()
        wait_until(lambda: source.batches == [['stays']])
        with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=client.base_url, timeout=0.3) as leaving:
            send(leaving, name='leaves')
        wait_until(lambda: not client.engine.batches.waiting)
        source.may_go.set()
        blocking.join()
        assert send(client, name='last').status_code == 200
    assert source.batches == [['stays'], ['last']]


def test_a_client_that_leaves_while_it_sends():
    with running() as client:
        with socket.create_connection(('127.0.0.1', client.port)) as sender:
            sender.sendall(HEAD + b'Content-Length: 1000\r\n\r\n--b\r\n')
        assert send(client).status_code == 200


def test_an_answer_that_takes_too_long(source):
    source.may_go.clear()
    with running(source, seconds=0.2) as client:
        late = send(client)
        assert 'too long' in error_of(late, 503)['given'] and late.headers['retry-after']
        source.may_go.set()
        assert send(client).status_code == 200


def receive_all(connection):
    connection.settimeout(20)
    received = b''
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def test_bodies_that_are_too_slow():
    with running(seconds=0.2) as client, socket.create_connection(('127.0.0.1', client.port)) as sender:
        sender.sendall(HEAD + b'Content-Length: 1000\r\n\r\n--b\r\n')
        answer = receive_all(sender)
        assert answer.startswith(b'HTTP/1.1 408') and b'longer than' in answer
        assert send(client).status_code == 200


@pytest.mark.parametrize('start', [b'', b'POST /api/seg', HEAD])
def test_headers_that_are_too_slow(start):
    with running(seconds=0.1) as client, socket.create_connection(('127.0.0.1', client.port)) as sender:
        sender.sendall(start)
        assert receive_all(sender) == b''
        assert client.get('/api/health').status_code == 200


def test_answers_that_nobody_reads_keep_their_place_until_time_is_up(source):
    photo = png(picture(height=1500, width=2000))
    with running(source, queue=1, seconds=1.5) as client, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(('127.0.0.1', client.port))
        body = httpx.Request('POST', 'http://127.0.0.1/', files={'image': photo}, data={'fill': 'noise'})
        head = f'POST /api/eliminate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {body.headers["content-type"]}\r\n'
        deaf.sendall(f'{head}Content-Length: {body.headers["content-length"]}\r\n\r\n'.encode() + body.read())
        wait_until(lambda: source.batches)
        error_of(send(client), 503)
        wait_until(lambda: send(client).status_code == 200)


def test_a_stopping_server_answers_what_it_has(source):
    source.may_go.clear()
    with running(source) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(send, client) for _ in range(2)]
        wait_until(lambda: len(source.batches) == 1 and len(client.engine.batches.waiting) == 1)
        client.server.should_exit = True
        wait_until(lambda: not any(one.is_serving() for one in client.server.servers))
        with pytest.raises(httpx.ConnectError), httpx.Client(base_url=client.base_url, trust_env=False) as late:
            late.get('/api/health')
        source.may_go.set()
        assert [one.result().status_code for one in waiting] == [200, 200]


def test_a_token():
    with running(None, '--token', 's3cret') as client:
        for header in (
            {},
            {'Authorization': 'Bearer other'},
            {'Authorization': 'Basic s3cret'},
            {'Authorization': 'Bearer'},
        ):
            refused = client.post('/api/segment', files={'image': png()}, headers=header)
            assert (
                'Bearer TOKEN' in error_of(refused, 401)['expected'] and refused.headers['www-authenticate'] == 'Bearer'
            )
            error_of(client.get('/api/models', headers=header), 401)
        known = {'Authorization': 'Bearer s3cret', 'Host': 'photos.example'}
        assert client.post('/api/segment', files={'image': png()}, headers=known).status_code == 200
        assert (
            client.get('/api/health').status_code
            == client.get('/').status_code
            == client.get('/docs').status_code
            == 200
        )


def test_pages_of_other_sites_are_refused():
    with running() as client:
        for host in ('photos.example', 'photos.example:5003', '', '127.0.0.1.photos.example', '[::2]:80'):
            assert 'localhost' in error_of(client.get('/api/health', headers={'Host': host}), 403)['expected']
        for host in ('localhost', 'localhost:80', '127.0.0.1:5003', '[::1]:5003', '[::1]'):
            assert client.get('/api/health', headers={'Host': host}).status_code == 200
        for site, status in (('cross-site', 403), ('same-origin', 200), ('none', 200)):
            sent = client.post('/api/segment', files={'image': png()}, headers={'Sec-Fetch-Site': site})
            assert sent.status_code == status


def test_headers_of_every_answer():
    with running() as client:
        answers = [client.get(path) for path in ('/', '/docs', '/openapi.json', '/api/health', '/nothing')]
        answers += [send(client), send(client, 'eliminate'), send(client, data=b'')]
    for answer in answers:
        assert answer.headers['x-content-type-options'] == 'nosniff'
        assert 'set-cookie' not in answer.headers and 'server' not in answer.headers
        policy = answer.headers['content-security-policy']
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and 'http' not in policy
        assert "'unsafe-eval'" not in policy and "script-src 'unsafe-inline'" not in policy
