"""The contract of every mask source. A new source's test is a subclass with a `source` fixture."""

import numpy as np
import pytest
import torch
from coco_data import make_dataset

from solo_bg import Instances, Picture
from solo_bg.coco.dataset import Annotations
from solo_bg.disk.files import read_image
from solo_bg.scenes import draw_scene
from solo_bg.sources.base import SOURCES, Detector, GroundTruth, Union


class SourceContract:
    @pytest.fixture
    def pictures(self):
        sizes = [(60, 90), (90, 60), (60, 90)]
        return [Picture(str(seed), f'{seed}.png', draw_scene(seed, *size)[0]) for seed, size in enumerate(sizes)]

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


class Annotated(SourceContract):
    @pytest.fixture
    def pictures(self, tmp_path):
        coco = make_dataset(tmp_path)
        annotations = Annotations(coco)
        given = [(image, read_image(tmp_path / 'images' / image['file_name'])) for image in coco['images']]
        return [
            Picture(str(image['id']), image['file_name'], pixels, annotated=annotations.read(image, pixels.shape[:2]))
            for image, pixels in given
        ]


class TestGroundTruth(Annotated):
    @pytest.fixture
    def source(self):
        return GroundTruth(['round', 'other'])

    def test_it_gives_what_is_annotated(self, source, pictures):
        for picture, found in zip(pictures, source(pictures), strict=True):
            assert torch.equal(found.masks, picture.annotated.instances.masks) and len(found)


class TestUnion(Annotated):
    @pytest.fixture
    def source(self, segmenter):
        return Union(Detector(segmenter), ['round', 'other'])

    def test_it_gives_both(self, source, pictures):
        prepared = [source.prepare(picture) for picture in pictures]
        for picture, both, one in zip(pictures, source(prepared), source.source(prepared), strict=True):
            assert torch.equal(both.union, one.union | picture.annotated.instances.union)
            assert both.names == [*one.names, *picture.annotated.instances.names]


def test_every_name_leads_somewhere():
    from importlib import import_module

    for home in SOURCES.values():
        module, name = home.split(':')
        assert callable(getattr(import_module(module), name))
