"""The contract of every mask source. A new source's test is a subclass with a `source` fixture."""

import json

import cv2
import numpy as np
import pytest
import torch
from coco_data import make_dataset

from solo_bg import InputImage, Instances, SetupError, eliminate_folder
from solo_bg.cli import main as cli
from solo_bg.coco.dataset import Annotations
from solo_bg.disk.read import read_image
from solo_bg.option_values import read_options
from solo_bg.scenes import draw_scene
from solo_bg.sources import SOURCES, load_source
from solo_bg.sources.annotated import Annotated
from solo_bg.sources.base import Source
from solo_bg.sources.detector import Detector
from solo_bg.sources.union import Union


class SourceContract:
    @pytest.fixture
    def pictures(self):
        sizes = [(60, 90), (90, 60), (60, 90)]
        return [InputImage(str(seed), f'{seed}.png', draw_scene(seed, *size)[0]) for seed, size in enumerate(sizes)]

    def test_one_result_a_picture_of_its_size(self, source, pictures):
        found = source(pictures)
        assert len(found) == len(pictures)
        for picture, instances in zip(pictures, found, strict=True):
            assert isinstance(instances, Instances)
            assert instances.size == picture.pixels.shape[:2]
            assert instances.masks.dtype == torch.bool
            assert instances.class_names == source.class_names

    def test_pictures_are_not_touched(self, source, pictures):
        before = [picture.pixels.copy() for picture in pictures]
        source(pictures)
        for picture, pixels in zip(pictures, before, strict=True):
            np.testing.assert_array_equal(picture.pixels, pixels)

    def test_the_same_again(self, source, pictures):
        for first, second in zip(source(pictures), source(pictures), strict=True):
            assert torch.equal(first.masks, second.masks) and torch.equal(first.scores, second.scores)

    def test_no_pictures(self, source):
        assert source([]) == []


class TestDetector(SourceContract):
    @pytest.fixture
    def source(self, segmenter):
        return Detector(segmenter)


class AnnotatedContract(SourceContract):
    @pytest.fixture
    def pictures(self, tmp_path):
        coco = make_dataset(tmp_path)
        annotations = Annotations(coco)
        given = [(image, read_image(tmp_path / 'images' / image['file_name'])) for image in coco['images']]
        return [
            InputImage('', image['file_name'], pixels, annotated=annotations.read(image, pixels.shape[:2]))
            for image, pixels in given
        ]


class TestAnnotated(AnnotatedContract):
    @pytest.fixture
    def source(self):
        return Annotated(['round', 'other'])

    def test_it_gives_what_is_annotated(self, source, pictures):
        for picture, found in zip(pictures, source(pictures), strict=True):
            assert torch.equal(found.masks, picture.annotated.instances.masks) and len(found)


class TestUnion(AnnotatedContract):
    @pytest.fixture
    def source(self, segmenter):
        return Union(Detector(segmenter), ['round', 'other'])

    def test_it_gives_both(self, source, pictures):
        prepared = [source.prepare(picture) for picture in pictures]
        for picture, both, one in zip(pictures, source(prepared), source.source(prepared), strict=True):
            assert torch.equal(both.union, one.union | picture.annotated.instances.union)
            assert both.names == [*one.names, *picture.annotated.instances.names]


def test_every_name_leads_to_a_source():
    for name in SOURCES:
        assert issubclass(load_source(name), Source)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('magic', f"no source is called 'magic'; expected one of {', '.join(SOURCES)}, or module:Class"),
        ('nowhere:Class', 'cannot be imported'),
        ('toy_source:Missing', 'cannot be imported'),
        ('pathlib:Path', 'expected a subclass of solo_bg.Source'),
    ],
)
def test_names_that_lead_nowhere(name, message):
    with pytest.raises(SetupError, match=message):
        load_source(name)


def test_options_have_the_types_of_their_defaults():
    defaults = {'k': 5, 'weight': 0.5, 'lab': True, 'seeds': ''}
    assert read_options(defaults, {}) == defaults
    given = {'k': '3', 'weight': '1e-3', 'lab': 'false', 'seeds': '1,2'}
    assert read_options(defaults, given) == {'k': 3, 'weight': 0.001, 'lab': False, 'seeds': '1,2'}
    for name, text, message in (('n', '1', 'expected one of: k, weight'), ('k', 'many', "expected int, got 'many'")):
        with pytest.raises(SetupError, match=message):
            read_options(defaults, {name: text})


# ---- a source of the user's own, through the command


@pytest.fixture
def folder(tmp_path, rng):
    (tmp_path / 'in').mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / f'in/{index}.png'), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    return tmp_path / 'in'


def eliminate(folder, out, *argv, source='toy_source:Threshold'):
    return cli.main([str(folder), '--source', source, '-o', str(out), '--quiet', *argv])


def run_facts(out):
    return json.loads((out / 'run.json').read_text())


def pictures(out):
    return {path.name: path.read_bytes() for path in (out / 'eliminated').iterdir()}


def test_the_command_uses_a_source_it_has_never_heard_of(folder, tmp_path):
    assert eliminate(folder, tmp_path / 'out', '--source-options', 'threshold=200') == 0
    image = cv2.imread(str(folder / '2.png'))
    written = cv2.imread(str(tmp_path / 'out/eliminated/2.png'))
    np.testing.assert_array_equal(written, image * (image[..., :1] > 200))
    depends = run_facts(tmp_path / 'out')['depends']
    assert depends['source'] == {'name': 'toy_source:Threshold', 'threshold': 200}


def test_resume_makes_again_what_the_source_would_make_in_another_way(folder, tmp_path):
    out = tmp_path / 'out'
    assert eliminate(folder, out) == 0
    first, stamp = pictures(out), (out / 'eliminated/0.png').stat().st_mtime_ns
    assert eliminate(folder, out, '--resume') == 0
    assert (out / 'eliminated/0.png').stat().st_mtime_ns == stamp
    assert eliminate(folder, out, '--resume', '--source-options', 'threshold=10') == 0
    again = pictures(out)
    assert set(again) == set(first) and not any(again[name] == first[name] for name in first)


def test_ray_uses_it_too(folder, tmp_path):
    assert eliminate(folder, tmp_path / 'here', '--source-options', 'threshold=90') == 0
    argv = ['--source-options', 'threshold=90', '--engine', 'ray']
    assert eliminate(folder, tmp_path / 'ray', *argv) == 0
    assert pictures(tmp_path / 'ray') == pictures(tmp_path / 'here')
    assert run_facts(tmp_path / 'ray')['key'] == run_facts(tmp_path / 'here')['key']


def test_from_python(folder, tmp_path):
    out = tmp_path / 'out'
    records = eliminate_folder(folder, source='toy_source:Threshold', out=out, styles=['mask'])
    assert [record.status for record in records] == ['ok'] * 4 and records[0].outputs == {'mask': 'mask/0.png'}
    lines = [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]
    assert [record.facts() for record in records] == lines
    with pytest.raises(SetupError, match='stiles'):
        eliminate_folder(folder, source='toy_source:Threshold', out=out, stiles=['mask'])
