"""`--tiles` with a source that finds every painted object exactly, and with the bundled model."""

import json

import cv2
import numpy as np
import pytest
import torch
from test_sources import SourceContract
from toy_source import Threshold

from solo_bg import Instances, eliminate_folder
from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse
from solo_bg.core.crops import Packed
from solo_bg.core.pieces import distinct
from solo_bg.errors import SetupError
from solo_bg.scenes import draw_scene
from solo_bg.sources.base import InputImage, Source
from solo_bg.sources.detector import Detector
from solo_bg.sources.tiled import Tiled, read_tiles
from solo_bg.sources.union import Union


class Painted(Source):
    """One instance for each brightness of blue but 0, as in an image of flat colours."""

    class_names = ('thing',)

    def __init__(self):
        self.seen = []

    def describe(self):
        return {'painted': True}

    def prepare(self, image):
        self.seen.append(image.pixels.shape[:2])
        return image.with_prepared(image.pixels[..., 0])

    def __call__(self, images):
        return [self.find(image.prepared) for image in images]

    def find(self, blue):
        levels = [level for level in range(20, 256, 20) if (blue == level).sum() > 3]
        masks = torch.from_numpy(np.array([blue == level for level in levels], bool).reshape(-1, *blue.shape))
        return Instances(masks, torch.zeros(len(levels)).long(), torch.full((len(levels),), 0.8), self.class_names)


def painted(size, count, seed=0):
    """An image of ellipses of different blues on black, and their masks."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.uint8)
    for level in range(20, 20 * count + 20, 20):
        centre = int(rng.integers(size[1])), int(rng.integers(size[0]))
        axes = int(rng.integers(8, size[1] // 4)), int(rng.integers(8, size[0] // 4))
        cv2.ellipse(image, centre, axes, 0, 0, 360, (level, 0, 0), -1)
    levels = [level for level in np.unique(image) if level]
    return image, [image[..., 0] == level for level in levels]


def find(source, image):
    given = InputImage('a', 'a.png', image)
    return source([source.prepare(given)])[0]


@pytest.mark.parametrize('size', [(300, 420), (500, 130), (90, 700)])
@pytest.mark.parametrize('tiles', [(128, 32), (200, 16)])
def test_known_objects_come_back_whatever_the_tiles(size, tiles):
    image, masks = painted(size, 9)
    found = find(Tiled(Painted(), *tiles), image)
    assert sorted(mask.tobytes() for mask in found.masks.numpy()) == sorted(mask.tobytes() for mask in masks)
    assert found.size == size and found.class_names == ('thing',) and set(found.names) == {'thing'}


def test_one_tile_is_in_work_at_a_time():
    source = Painted()
    image, _ = painted((300, 3000), 5)
    find(Tiled(source, 256, 64), image)
    assert source.seen[0] == (205, 2048)  # the whole, made smaller
    assert set(source.seen[1:]) == {(256, 256)} and len(source.seen) > 20


def test_masks_are_held_packed_however_many_there_are():
    """Four bands of 4.5 megapixels in 70 tiles: together they are held in an eighth of what one dense mask takes."""
    image = np.zeros((1500, 3000, 3), np.uint8)
    for row, level in enumerate((20, 60, 100, 140)):
        image[row * 375 : (row + 1) * 375, :, 0] = level
    tiled = Tiled(Painted(), 512, 128)
    by_tile = [distinct(found) for found in tiled.tile_pieces(InputImage('', '', image))]
    assert sum(map(len, by_tile)) > 40
    found = find(tiled, image)
    for crops in ([piece.crop for pieces in by_tile for piece in pieces], found.crops.held):
        assert all(isinstance(crop, Packed) for crop in crops if crop.shape[0] * crop.shape[1] >= 2**12)
    assert len(found) == 4 and sum(crop.bits.numel() for crop in found.crops.held) == image[..., 0].size // 8


def test_an_object_inside_one_tile_that_the_whole_view_shows_too_is_counted_once():
    image = np.zeros((300, 4096, 3), np.uint8)
    image[100:180, 60:200, 0] = 200  # even numbers: half as large, it has no mixed colours at its edges
    tiled = Tiled(Painted(), 300, 60)
    given = InputImage('', '', image)
    assert len(tiled.whole_instances(given)) == 1
    found = find(tiled, image)
    assert len(found) == 1
    np.testing.assert_array_equal(found.masks[0], image[..., 0] == 200)


def test_large_objects_come_from_the_whole_view():
    """The source finds nothing that touches the border of what it sees, as a model that never saw a part."""

    class Complete(Painted):
        def prepare(self, image):
            return image.with_prepared(image.pixels)

        def find(self, pixels):
            bright = torch.from_numpy(np.ascontiguousarray(pixels[..., :2].transpose(2, 0, 1) > 127))
            found = Instances(bright, torch.zeros(2).long(), torch.full((2,), 0.8), self.class_names)
            height, width = pixels.shape[:2]
            inside = [0 < x0 < x1 < width and 0 < y0 < y1 < height for x0, y0, x1, y1 in found.host_boxes]
            return found[torch.tensor(inside, dtype=torch.bool)]

    image = np.zeros((2400, 3000, 3), np.uint8)
    cv2.ellipse(image, (1500, 1200), (900, 700), 0, 0, 360, (200, 0, 0), -1)
    cv2.ellipse(image, (200, 200), (9, 9), 0, 0, 360, (0, 200, 0), -1)
    found = find(Tiled(Complete(), 256, 64), image)
    assert len(found) == 2
    masks = sorted(found.masks.numpy(), key=np.sum)
    np.testing.assert_array_equal(masks[0], image[..., 1] == 200)
    large = image[..., 0] == 200
    assert (masks[1] & large).sum() / (masks[1] | large).sum() > 0.995


def test_an_image_no_larger_than_a_tile_goes_as_it_is():
    source = Painted()
    tiled, (image, masks) = Tiled(source, 128, 32), painted((96, 128), 3)
    images = [InputImage('a', 'a', image), InputImage('b', 'b', painted((200, 150), 3)[0])]
    found = tiled([tiled.prepare(one) for one in images])
    assert source.seen[:2] == [(96, 128), (200, 150)] and set(source.seen[2:]) == {(128, 128)}
    np.testing.assert_array_equal(found[0].masks, masks)
    assert found[1].size == (200, 150)


class TestTiled(SourceContract):
    @pytest.fixture
    def source(self):
        return Tiled(Threshold(128), 64, 16)


def test_tiles_are_part_of_what_the_masks_depend_on():
    described = [Tiled(Painted(), *tiles).describe() for tiles in ((128, 32), (128, 16))]
    assert described[0] == {'painted': True, 'tiles': [128, 32]} != described[1]
    assert Union(Tiled(Painted(), 128, 32), ()).describe() == described[0]


def test_union_tiles_the_model_alone(segmenter):
    union = Union(Detector(segmenter), ('x',)).in_tiles(64, 16)
    assert isinstance(union.source, Tiled) and union.class_names[-1] == 'x'


@pytest.mark.parametrize(
    ('text', 'tiles'), [('1024', (1024, 256)), ('1024:128', (1024, 128)), ('64:16', (64, 16)), ('64:32', (64, 32))]
)
def test_the_option(text, tiles):
    assert read_tiles(text) == tiles


@pytest.mark.parametrize('text', ['', 'a', '1024:', ':64', '1024:600', '32:16', '64:8', '-64', '1024:0', '64:16:1'])
def test_an_option_that_makes_no_tiles(text):
    with pytest.raises(SetupError, match='--tiles expected'):
        read_tiles(text)


def test_sources_that_take_no_tiles_say_so(capsys):
    with pytest.raises(SystemExit, match='2'):
        parse(['--source', 'otsu', '--tiles', '256', 'demo'])
    assert '--tiles is for the sources model and union, not for otsu' in capsys.readouterr().err


def test_the_command_finds_more_small_objects_with_tiles_and_resumes(tmp_path):
    (tmp_path / 'in').mkdir()
    scenes = [draw_scene(seed, 160, 200)[0] for seed in range(16)]
    cv2.imwrite(str(tmp_path / 'in/a.png'), np.vstack([np.hstack(scenes[row : row + 4]) for row in range(0, 16, 4)]))
    (plain,) = eliminate_folder(tmp_path / 'in', out=tmp_path / 'plain', styles=['labels'])
    argv = [str(tmp_path / 'in'), '--tiles', '256:64', '--styles', 'labels', '-o', str(tmp_path / 'out'), '--quiet']
    assert cli.main(argv) == 0
    record = json.loads((tmp_path / 'out/manifest.jsonl').read_text())
    assert record['instances'] > plain.instances
    before = (tmp_path / 'out/labels/a.png').stat().st_mtime_ns
    assert cli.main([*argv, '--resume']) == 0
    assert (tmp_path / 'out/labels/a.png').stat().st_mtime_ns == before
    assert json.loads((tmp_path / 'out/run.json').read_text())['depends']['source']['tiles'] == [256, 64]
