"""The API against the pixels, the masks and the command."""

import base64
import io
import json
import zipfile

import cv2
import numpy as np
import pytest
from channels_source import CLASSES, LABELS, SCORES, masks_of
from local_server import error_of, picture, png, running, send
from pycocotools import mask as coco

from solo_bg import eliminate_folder
from solo_bg.cli.fields import instance_fields, picture_fields
from solo_bg.version import __version__


@pytest.fixture(scope='module')
def client():
    with running() as client:
        yield client


def segment(client, **options):
    response = send(client, **options)
    assert response.status_code == 200, response.text
    assert response.headers['content-type'] == 'application/json'
    return response.json()


def owner_map_of(answer):
    head, _, data = answer['owner_map'].partition(',')
    assert head == 'data:image/png;base64'
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)


def test_instances_are_described_as_their_masks_are(client):
    answer, pixels = segment(client, score_thr='0'), picture()
    masks = [(index, mask) for index, mask in enumerate(masks_of(pixels).numpy()) if mask.any()]
    assert answer['image'] == {'width': 64, 'height': 48} and answer['class_names'] == list(CLASSES)
    assert len(masks) == 3 and [one['id'] for one in answer['instances']] == [0, 1, 2]
    for found, (index, mask) in zip(answer['instances'], masks, strict=True):
        rows, columns = mask.nonzero()
        assert np.array_equal(coco.decode(found['segmentation']), mask)
        assert found['box'] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found['area'] == mask.sum()
        assert found['centre'] == pytest.approx([columns.mean(), rows.mean()], abs=0.01)
        assert (found['label'], found['class']) == (LABELS[index], CLASSES[LABELS[index]])
        assert found['score'] == pytest.approx(SCORES[index])


def test_the_owner_map_has_the_first_instance_of_each_pixel(client):
    answer = segment(client, score_thr='0')
    owners = owner_map_of(answer)
    masks = [coco.decode(one['segmentation']) for one in answer['instances']]
    expected = np.zeros((48, 64), np.uint16)
    for index in reversed(range(len(masks))):
        expected[masks[index] > 0] = index + 1
    assert owners.dtype == np.uint16 and np.array_equal(owners, expected)
    assert set(np.unique(owners)) == {0, 1, 2, 3}


def test_colours_are_those_of_the_overlay(client):
    answer = segment(client, score_thr='0')
    overlay = cv2.imdecode(
        np.frombuffer(send(client, 'eliminate', styles='overlay', score_thr='0').content, np.uint8), cv2.IMREAD_COLOR
    )
    owners, pixels = owner_map_of(answer), picture().astype(int)
    for one in answer['instances']:
        painted = (pixels + one['colour'][::-1]) // 2
        equal = (overlay == painted).all(2)[owners == one['id'] + 1]
        assert equal.mean() > 0.5  # the rest are letters


def test_scores_and_classes_choose_instances(client):
    assert [one['class'] for one in segment(client)['instances']] == ['red', 'blue']  # 0.3 is not above 0.3
    assert [one['class'] for one in segment(client, score_thr='0.7')['instances']] == ['red']
    assert [one['class'] for one in segment(client, score_thr='0', classes='green, blue')['instances']] == [
        'blue',
        'green',
    ]
    none = segment(client, score_thr='1')
    assert none['instances'] == [] and not owner_map_of(none).any()


def test_instances_in_the_order_of_their_area(client):
    by_area = segment(client, score_thr='0', sort_by_density='true')['instances']
    assert [one['area'] for one in by_area] == sorted(one['area'] for one in by_area)


OPTIONS = [
    {'styles': ['eliminated']},
    {'styles': ['eliminated', 'overlay', 'mask', 'labels', 'cutout']},
    {'styles': ['eliminated', 'overlay', 'cutout'], 'format': 'jpg', 'quality': 60},
    {'styles': ['cutout', 'eliminated'], 'format': 'webp', 'dilate': 3},
    {'styles': ['eliminated'], 'fill': 'noise', 'seed': 7},
    {'styles': ['eliminated'], 'fill': '10,20,30', 'score_thr': 0.7},
    {'styles': ['eliminated'], 'mix': [('noise', 0.5), ('mean', 0.5)], 'classes': ['red', 'green']},
    {
        'styles': ['cutout', 'eliminated'],
        'refine': 'guided',
        'refine_options': {'band': '4', 'radius': '3'},
        'soft': True,
    },
    {'styles': ['labels', 'overlay'], 'sort_by_density': True, 'score_thr': 0.0},
    {'styles': ['eliminated', 'cutout'], 'score_thr': 1.0, 'on_empty': 'copy'},
    {'styles': ['eliminated', 'overlay'], 'score_thr': 1.0, 'on_empty': 'black'},
]


def as_text(value):
    """An option as the command line takes it."""
    if isinstance(value, dict):
        return ' '.join(f'{key}={one}' for key, one in value.items())
    if isinstance(value, list):
        return ','.join(one if isinstance(one, str) else f'{one[0]}:{one[1]}' for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def pictures_of(response):
    """style -> bytes."""
    assert response.status_code == 200, response.text
    if response.headers['content-type'] == 'application/zip':
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            return {name.rpartition('.')[0]: archive.read(name) for name in archive.namelist()}
    style = response.headers['content-disposition'].split('"')[1].rpartition('.')[0]
    return {style: response.content}


@pytest.mark.parametrize('options', OPTIONS, ids=lambda options: ','.join(options))
def test_pictures_are_those_of_the_command(client, options, tmp_path):
    (tmp_path / 'photo.png').write_bytes(png())
    (record,) = eliminate_folder(
        tmp_path / 'photo.png', source='channels_source:Channels', out=tmp_path / 'out', **options
    )
    written = {style: (tmp_path / 'out' / path).read_bytes() for style, path in record.outputs.items()}
    sent = send(client, 'eliminate', **{name: as_text(value) for name, value in options.items()})
    assert written and pictures_of(sent) == written
    types = {'png': 'image/png', 'jpg': 'image/jpeg', 'webp': 'image/webp'}
    if len(written) == 1:
        assert sent.headers['content-type'] == types[options.get('format', 'png')]


def test_the_bundled_model_gives_what_the_command_gives(segmenter, tmp_path):
    from conftest import CHECKPOINT, CONFIG, ROOT

    from solo_bg.sources.detector import Detector

    photo = ROOT / 'demo/images/astronaut.png'
    (record,) = eliminate_folder(photo, CONFIG, CHECKPOINT, out=tmp_path, device='cpu', format='webp')
    with running(Detector(segmenter)) as client:
        sent = pictures_of(send(client, 'eliminate', photo.read_bytes(), 'astronaut.png', format='webp'))
        found = segment(client, data=photo.read_bytes())['instances']
    assert sent == {style: (tmp_path / path).read_bytes() for style, path in record.outputs.items()}
    labels = json.loads((tmp_path / 'annotations.json').read_text())['annotations']
    assert [one['segmentation'] for one in found] == [one['segmentation'] for one in labels] and found


def test_the_pictures_of_a_style_of_several_are_called_as_its_index_says(client):
    response = send(client, 'eliminate', styles='instances,mask')
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        rows = [json.loads(line) for line in archive.read('instances.jsonl').splitlines()]
        names = {'mask.png', 'instances.jsonl', *(row['file'] for row in rows)}
        assert len(rows) == 2 and set(archive.namelist()) == names


def test_every_option_of_a_picture_is_a_field_and_no_other():
    assert {
        'score_thr',
        'classes',
        'styles',
        'format',
        'fill',
        'dilate',
        'refine',
        'on_empty',
    } < picture_fields().keys()
    assert {'out', 'source', 'source_options', 'ann', 'resume', 'limit', 'device', 'cfg_options'}.isdisjoint(
        picture_fields()
    )
    assert instance_fields().keys() == {'score_thr', 'classes', 'sort_by_density'}


@pytest.mark.parametrize(
    ('field', 'text', 'part', 'reason'),
    [
        ('score_thr', '2', 'expected', 'number from 0 to 1'),
        ('score_thr', 'nan', 'expected', 'number from 0 to 1'),
        ('quality', '9' * 5000, 'given', 'quality=9'),
        ('seed', '9' * 5000, 'expected', 'digits'),
        ('classes', 'red,cat', 'given', 'no class named cat'),
        ('classes', ',', 'expected', 'names with commas'),
        ('styles', 'stylish', 'given', 'no style named stylish'),
        ('format', 'gif', 'expected', 'one of png, jpg, webp'),
        ('fill', 'green', 'given', 'fill=green'),
        ('fill', 'dir:/etc', 'expected', 'a server opens no folder'),
        ('fill', 'dataset-mean', 'expected', 'a server opens no folder'),
        ('mix', 'zero:1,dir:/etc:1', 'expected', 'a server opens no folder'),
        ('mix', f'zero:1{"0" * 400}', 'expected', 'fills with weights'),
        ('soft', 'perhaps', 'expected', 'true or false'),
        ('dilate', '100000', 'expected', 'at most 256'),
        ('refine', 'none', 'expected', 'one of guided, matting'),
        ('refine_options', 'radius', 'expected', 'K=V'),
        ('refine_options', 'radius=1000000', 'expected', 'at most 256'),
        ('refine_options', 'radius=8', 'given', '--refine-options needs --refine'),
        ('out', '/tmp/x', 'given', 'an option of the command alone'),
        ('ann', '/etc/passwd', 'given', 'an option of the command alone'),
        ('source', 'kmeans', 'given', 'an option of the command alone'),
        ('cfg_options', 'model=1', 'given', 'an option of the command alone'),
        ('config', 'evil.py', 'given', 'no option'),
    ],
)
def test_fields_that_are_refused(client, field, text, part, reason):
    error = error_of(send(client, 'eliminate', **{field: text}), 422)
    assert reason in error[part], error


def test_options_that_exclude_each_other(client):
    assert '--mix' in error_of(send(client, 'eliminate', fill='mean', mix='zero:1'), 422)['given']


def test_an_image_without_instances_has_no_picture(client):
    assert 'on_empty=black' in error_of(send(client, 'eliminate', score_thr='1'), 422)['do']


def test_requests_that_are_no_form(client):
    assert 'application/json' in error_of(client.post('/api/segment', json={}), 415)['given']
    assert '(none)' in error_of(client.post('/api/segment'), 415)['given']
    body, kind = (
        b'--x\r\nContent-Disposition: form-data; name="image"',
        {'content-type': 'multipart/form-data; boundary=x'},
    )
    assert error_of(client.post('/api/segment', content=body, headers=kind), 422)['given'] == "no field 'image'"
    assert error_of(client.post('/api/segment', content=b'x', headers=kind), 400)
    assert error_of(client.post('/api/segment', content=b'x', headers={'content-type': 'multipart/form-data'}), 400)
    assert 'the query' in error_of(client.post('/api/segment?score_thr=1', files={'image': png()}), 422)['given']


def test_fields_of_the_wrong_kind(client):
    assert (
        'a text' in error_of(client.post('/api/segment', data={'image': 'x'}, files={'classes': b'red'}), 422)['given']
    )
    twice = [('image', ('a.png', png())), ('score_thr', (None, '0.1')), ('score_thr', (None, '0.2'))]
    assert 'twice' in error_of(client.post('/api/segment', files=twice), 422)['given']
    images = [('image', ('a.png', png())), ('image', ('b.png', png()))]
    assert 'Too many files' in error_of(client.post('/api/segment', files=images), 400)['given']


def test_unknown_paths_and_methods(client):
    error_of(client.get('/api/nothing'), 404)
    assert client.get('/api/segment').headers['allow'] == 'POST'
    error_of(client.get('/api/segment'), 405)
    error_of(client.get('/../etc/passwd'), 404)


def test_what_the_server_says_about_itself(client):
    assert client.get('/api/health').json() == {
        'status': 'ok',
        'version': __version__,
        'model': 'channels_source:Channels',
    }
    models = client.get('/api/models').json()
    assert models['loaded'] == {
        'name': 'channels_source:Channels',
        'source': 'channels_source:Channels',
        'device': 'cpu',
        'has_scores': True,
        'class_names': list(CLASSES),
    }
    assert {'solo_r50_fpn_1x_coco', 'u2net'} <= set(models['known'])


def test_the_documentation_needs_nothing_from_elsewhere(client):
    page = client.get('/docs')
    assert page.headers['content-type'] == 'text/html; charset=utf-8'
    assert 'http' not in page.text.replace('http://127.0.0.1:5003', '') and '<script' not in page.text
    assert all(f'<td>{name}</td>' in page.text for name in picture_fields())
