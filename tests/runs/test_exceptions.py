"""Any exception that is raised for one image becomes that image's error; errors that concern all images end the run."""

import json
import os
import sys

import cv2
import numpy as np
import pytest
import torch

from solo_bg import Instances, Source, pipeline
from solo_bg.cli import main as cli
from solo_bg.errors import SetupError
from solo_bg.runs.journal import Journal, Record

STAGES = ['prepare', 'batch shape', 'unhashable', 'call', 'too few', 'composing', 'encoding', 'recording']


class Odd(Exception):
    """An exception that no code expects."""


class Unhashable:
    __hash__ = None


class Breaking(Source):
    """All of each image is one instance. The image whose first pixel is 13 breaks the stage that the option names."""

    class_names = ('all',)

    def __init__(self, stage):
        self.stage = stage

    @classmethod
    def build(cls, settings):
        return cls(settings.options['stage'].replace('_', ' '))

    def describe(self):
        return {'stage': self.stage, 'process': os.getpid() if self.stage == 'elsewhere' else 0}

    def breaks(self, image, stage):
        return self.stage == stage and image.pixels[0, 0, 0] == 13

    def prepare(self, image):
        if self.breaks(image, 'prepare'):
            raise Odd('in prepare')
        if self.breaks(image, 'setup'):
            raise SetupError('nothing can be done')
        if self.breaks(image, 'device'):
            raise RuntimeError('CUDA error: an illegal memory access was encountered')
        return image

    def batch_shape(self, image):
        if self.breaks(image, 'batch shape'):
            raise Odd('in batch_shape')
        return Unhashable() if self.breaks(image, 'unhashable') else image.pixels.shape

    def __call__(self, images):
        broken = [image for image in images if self.breaks(image, 'call')]
        if broken:
            raise Odd('in call')
        found = [self.find(image) for image in images]
        return found[1:] if any(self.breaks(image, 'too few') for image in images) else found

    def find(self, image):
        if self.breaks(image, 'composing'):
            return 'no instances'
        names = [Odd('a class that is not text')] if self.breaks(image, 'recording') else self.class_names
        masks = torch.ones(1, *image.pixels.shape[:2], dtype=torch.bool)
        return Instances(masks, torch.zeros(1).long(), torch.ones(1), tuple(names))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'in').mkdir()
    for index in range(6):
        value = 13 if index == 3 else 100 + index
        cv2.imwrite(str(tmp_path / f'in/{index}.png'), np.full((8, 8, 3), value, np.uint8))
    return tmp_path / 'in'


def run(folder, out, stage, *more):
    source = ['--source', 'test_exceptions:Breaking', '--source-options', f'stage={stage.replace(" ", "_")}']
    return cli.main([str(folder), *source, '--quiet', '--styles', 'mask', '-o', str(out), *more])


def records(out):
    lines = [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]
    return {line['input'].rpartition('/')[2]: line for line in lines}


@pytest.mark.parametrize('batch', ['1', '4'])
@pytest.mark.parametrize('stage', STAGES)
def test_an_exception_is_an_error_of_its_image_with_the_traceback(folder, tmp_path, stage, batch, monkeypatch):
    if stage == 'encoding':
        real = pipeline.encode_image

        def encode(picture, *more):
            if sys._getframe(2).f_locals['item'].job.name == '3':
                raise Odd('in encode')
            return real(picture, *more)

        monkeypatch.setattr(pipeline, 'encode_image', encode)
    out = tmp_path / 'out'
    assert run(folder, out, stage, '--batch-size', batch) == 1
    found = records(out)
    assert {name: line['status'] for name, line in found.items()} == {
        f'{index}.png': 'error' if index == 3 else 'ok' for index in range(6)
    }
    assert 'Traceback' in found['3.png']['traceback'] and found['3.png']['error'].startswith('unexpected ')
    assert sorted(path.name for path in (out / 'mask').iterdir()) == ['0.png', '1.png', '2.png', '4.png', '5.png']


@pytest.mark.parametrize('batch', ['1', '4'])
def test_errors_that_concern_all_images_end_the_run(folder, tmp_path, batch, capsys):
    assert run(folder, tmp_path / 'out', 'setup', '--batch-size', batch) == 2
    assert 'nothing can be done' in capsys.readouterr().err
    assert run(folder, tmp_path / 'out', 'device', '--resume', '--batch-size', batch) == 1
    assert 'the device is lost (CUDA error: an illegal memory access' in capsys.readouterr().err
    assert json.loads((tmp_path / 'out/run.json').read_text())['end'] is None


def test_a_record_that_is_no_json_is_written_as_an_error(tmp_path):
    journal = Journal(tmp_path)
    outputs = {'eliminated': 'eliminated/a.png'}
    good = Record('a', 'ok', outputs, key='k', carried=({'file_name': 'a'}, [{'category_id': 0}]))
    assert journal.add(good) is good
    annotated = Record('b', 'ok', outputs, key='k', carried=({'file_name': 'b'}, [{'id': {1}}]))
    counted = Record('c', 'ok', classes={('a', 'b'): 1})
    for record in (annotated, counted):
        written = journal.add(record)
        assert written.status == 'error' and 'TypeError' in written.error and 'Traceback' in written.traceback
        assert journal.records.get(record.input)['status'] == 'error'
    assert list(journal.labels) == ['a']


@pytest.mark.slow
def test_ray_has_the_same_errors(folder, tmp_path, monkeypatch, capsys):
    """A source's exceptions in an actor: one image's error, the end of the run, the end of the actor."""
    pytest.importorskip('ray')
    for stage in ('call', 'too few', 'composing'):
        assert run(folder, tmp_path / stage, stage, '--engine', 'ray', '--batch-size', '1') == 1
        line = records(tmp_path / stage)['3.png']
        assert line['status'] == 'error' and 'Traceback' in line['traceback'] and len(records(tmp_path / stage)) == 6
    capsys.readouterr()
    assert run(folder, tmp_path / 'setup', 'setup', '--engine', 'ray', '--batch-size', '1') == 2
    assert 'nothing can be done' in capsys.readouterr().err
    assert run(folder, tmp_path / 'device', 'device', '--engine', 'ray', '--batch-size', '1') == 1
    found = records(tmp_path / 'device')
    assert [name for name, line in found.items() if line['status'] == 'error'] == ['3.png']
    assert 'died, 3 times' in found['3.png']['error']


@pytest.mark.slow
def test_a_machine_of_rays_that_would_produce_other_results_ends_the_run(folder, tmp_path, capsys):
    pytest.importorskip('ray')
    assert run(folder, tmp_path / 'out', 'elsewhere', '--engine', 'ray') == 2
    assert 'would produce other results than this one' in capsys.readouterr().err


@pytest.mark.slow
def test_ray_draws_the_same_fills_and_names_them_as_they_were_given(folder, tmp_path, monkeypatch):
    pytest.importorskip('ray')
    monkeypatch.chdir(tmp_path)
    mix = ['--mix', 'dir:in:1,noise:1', '--styles', 'eliminated']
    for out, more in (('ray', ['--engine', 'ray']), ('here', [])):
        assert run('in', tmp_path / out, 'none', *mix, *more) == 0
    fills = {name: line['fill'] for name, line in records(tmp_path / 'ray').items()}
    assert set(fills.values()) == {'dir:in', 'noise'}
    assert fills == {name: line['fill'] for name, line in records(tmp_path / 'here').items()}
