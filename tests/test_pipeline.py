"""The line with a source that needs no model: instances are given by each picture's own pixels."""

import json
import threading
from pathlib import Path

import awkward
import cv2
import numpy as np
import pytest
import torch

from solo_bg import Instances, pipeline
from solo_bg.disk import inputs, read
from solo_bg.errors import ImageError
from solo_bg.options import Options
from solo_bg.sources.base import Source
from solo_bg.workers import map_in_batches


class Bright(Source):
    """Two classes: what is brighter than 128 in blue, and in green."""

    class_names = ('blue', 'green')

    def __call__(self, pictures):
        self.largest = max(getattr(self, 'largest', 0), len(pictures))
        if any(picture.pixels.shape[0] == 13 for picture in pictures):
            raise ImageError('13 rows bring bad luck')
        return [self.find(picture.pixels) for picture in pictures]

    def find(self, pixels):
        masks = torch.from_numpy(np.stack([pixels[..., 0] > 128, pixels[..., 1] > 128]))
        found = masks.flatten(1).any(1)
        return Instances(masks[found], torch.arange(2)[found], torch.tensor([0.9, 0.5])[found], self.class_names)


@pytest.fixture
def folder(tmp_path, rng):
    root = tmp_path / 'in'
    (root / 'sub').mkdir(parents=True)
    for index in range(6):
        cv2.imwrite(str(root / f'{index}.png'), rng.integers(0, 256, (12 + index, 20, 3), dtype=np.uint8))
    cv2.imwrite(str(root / 'sub/0.png'), rng.integers(0, 256, (30, 20, 3), dtype=np.uint8))
    cv2.imwrite(str(root / 'dark.png'), np.full((10, 10, 3), 40, np.uint8))
    (root / 'broken.jpg').write_bytes(b'no image')
    return root


def run(folder, out, source=None, **options):
    images = inputs.list_images([str(folder)])
    return list(pipeline.run(images, source or Bright(), Options(out=out, **options)))


def tree(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob('*') if path.is_file()}


def test_every_input_is_accounted_for(folder, tmp_path):
    records = run(folder, tmp_path / 'out')
    status = {Path(record.input).relative_to(folder).as_posix(): record.status for record in records}
    assert status == {
        '0.png': 'ok', '1.png': 'error', '2.png': 'ok', '3.png': 'ok', '4.png': 'ok', '5.png': 'ok',
        'broken.jpg': 'error', 'dark.png': 'empty', 'sub/0.png': 'ok',
    }  # fmt: skip
    reasons = {Path(record.input).name: record.error for record in records if record.status == 'error'}
    assert reasons['1.png'] == '13 rows bring bad luck' and 'not an image' in reasons['broken.jpg']
    written = {path for record in records for path in record.outputs.values()}
    assert written == set(tree(tmp_path / 'out'))
    assert {'eliminated/0.png', 'overlay/sub/0.png'} < written
    assert json.dumps([vars(record) for record in records])


def test_a_score_that_is_not_finite_fails_its_image_alone(folder, tmp_path):
    class Broken(Bright):
        def find(self, pixels):
            found = super().find(pixels)
            if pixels.shape[0] != 15:
                return found
            return Instances(found.masks, found.labels, found.scores * np.nan, self.class_names)

    records = run(folder, tmp_path / 'out', Broken(), batch_size=8)
    broken = next(record for record in records if record.input.endswith('in/3.png'))
    assert broken.status == 'error' and 'scores must be finite' in broken.error and broken.traceback is None
    assert sum(record.status == 'ok' for record in records) == 5


def test_pictures_are_what_the_styles_draw(folder, tmp_path):
    records = run(folder, tmp_path / 'out', styles=['eliminated', 'mask', 'labels', 'cutout'])
    record = next(record for record in records if record.input.endswith('in/2.png'))
    image = cv2.imread(record.input)
    union = (image[..., :2] > 128).any(2)
    written = {
        style: cv2.imread(str(tmp_path / 'out' / path), cv2.IMREAD_UNCHANGED) for style, path in record.outputs.items()
    }
    np.testing.assert_array_equal(written['eliminated'], image * union[..., None])
    np.testing.assert_array_equal(written['mask'], union * 255)
    np.testing.assert_array_equal(written['labels'], np.where(image[..., 0] > 128, 1, 2) * union)
    np.testing.assert_array_equal(written['cutout'], np.dstack([image, union * 255]))
    assert record.instances == 2 and record.classes == {'blue': 1, 'green': 1}
    assert record.foreground == pytest.approx(union.mean(), abs=1e-6)


def test_threshold_and_classes_choose(folder, tmp_path):
    few = run(folder, tmp_path / 'a', score_thr=0.5)
    assert {record.instances for record in few if record.status == 'ok'} == {1}
    green = run(folder, tmp_path / 'b', classes=['green'])
    assert {name for record in green for name in record.classes} == {'green'}


@pytest.mark.parametrize('on_empty', ['skip', 'black', 'copy'])
def test_on_empty(folder, tmp_path, on_empty):
    styles = ['eliminated', 'overlay', 'mask', 'labels', 'cutout']
    records = run(folder, tmp_path / 'out', on_empty=on_empty, styles=styles)
    record = next(record for record in records if record.status == 'empty')
    drawn = {
        style: cv2.imread(str(tmp_path / 'out' / path), cv2.IMREAD_UNCHANGED) for style, path in record.outputs.items()
    }
    if on_empty == 'skip':
        assert drawn == {}
        return
    assert list(drawn) == styles and not drawn['mask'].any() and not drawn['labels'].any()
    for style in ('eliminated', 'overlay'):
        assert (drawn[style] == (40 if on_empty == 'copy' else 0)).all()
    assert (drawn['cutout'][..., :3] == 40).all()
    assert (drawn['cutout'][..., 3] == (255 if on_empty == 'copy' else 0)).all()


@pytest.mark.parametrize('batch_size', [1, 3, 100])
@pytest.mark.parametrize('workers', [1, 8])
def test_batches_and_workers_change_nothing(folder, tmp_path, batch_size, workers):
    source = Bright()
    run(folder, tmp_path / 'plain')
    run(folder, tmp_path / 'other', source, batch_size=batch_size, workers=workers)
    assert tree(tmp_path / 'plain') == tree(tmp_path / 'other')
    assert source.largest <= batch_size


class InPairs(Bright):
    """Takes two images at the same time, and waits for the second one."""

    at_once = 2

    def __init__(self):
        self.both = threading.Barrier(2, timeout=20)

    def __call__(self, pictures):
        self.both.wait()
        return super().__call__(pictures)


def test_a_source_can_take_several_images_at_the_same_time(folder, tmp_path):
    records = run(folder, tmp_path / 'out', InPairs(), workers=2, batch_size=3)  # eight images can be read
    expected = run(folder, tmp_path / 'expected', workers=2)
    assert [(one.input, one.status, one.error) for one in records] == [
        (one.input, one.status, one.error) for one in expected
    ]
    assert tree(tmp_path / 'out') == tree(tmp_path / 'expected')
    assert {record.status for record in records} == {'ok', 'empty', 'error'}


def test_sort_by_density_orders_the_labels(tmp_path):
    (tmp_path / 'in').mkdir()
    image = np.zeros((10, 10, 3), np.uint8)
    image[..., 0] = 255
    image[2:4, 2:4, 1] = 255
    cv2.imwrite(str(tmp_path / 'in/a.png'), image)
    run(tmp_path / 'in', tmp_path / 'out', styles=['labels'], sort_by_density=True)
    labels = cv2.imread(str(tmp_path / 'out/labels/a.png'), cv2.IMREAD_UNCHANGED)
    assert labels[3, 3] == 1 and labels[0, 0] == 2


@pytest.mark.parametrize(('kind', 'cutout'), [('png', 'png'), ('jpg', 'png'), ('webp', 'webp')])
def test_formats(folder, tmp_path, kind, cutout):
    records = run(folder, tmp_path / 'out', format=kind, styles=['eliminated', 'mask', 'labels', 'cutout'])
    outputs = records[0].outputs
    suffixes = {style: path.rpartition('.')[2] for style, path in outputs.items()}
    assert suffixes == {'eliminated': kind, 'mask': 'png', 'labels': 'png', 'cutout': cutout}
    if kind == 'webp':
        image = cv2.imread(records[0].input)
        union = (image[..., :2] > 128).any(2)
        written = cv2.imread(str(tmp_path / 'out' / outputs['cutout']), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, np.dstack([image, union * 255]))


def test_a_write_that_fails_is_an_error_of_that_input(folder, tmp_path):
    out = tmp_path / 'out'
    (out / 'overlay').mkdir(parents=True)
    (out / 'overlay/2.png').mkdir()  # a folder where the picture should go
    records = run(folder, out)
    failed = next(record for record in records if record.input.endswith('in/2.png'))
    assert failed.status == 'error' and 'cannot write' in failed.error and failed.outputs == {}
    assert not (out / 'eliminated/2.png').exists() and (out / 'eliminated/3.png').exists()


def test_every_broken_image_is_reported_and_the_good_ones_done(tmp_path):
    root = tmp_path / 'in'
    root.mkdir()
    for name, data in awkward.broken().items():
        (root / name).write_bytes(data)
    for name, (data, _, _) in awkward.readable().items():
        (root / name).write_bytes(data)
    records = run(root, tmp_path / 'out', batch_size=4)
    failed = {Path(record.input).name for record in records if record.status == 'error'}
    assert failed == set(awkward.broken())
    assert all(record.error for record in records if record.status == 'error')


def test_few_pictures_are_held_at_once(tmp_path, rng, monkeypatch):
    (tmp_path / 'in').mkdir()
    for index in range(40):
        cv2.imwrite(str(tmp_path / f'in/{index:02d}.png'), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    opened = []
    monkeypatch.setattr(pipeline, 'read_bytes', lambda path, *rest: opened.append(path) or read.read_bytes(path, *rest))
    options = Options(out=tmp_path / 'out', workers=2)
    next(iter(pipeline.run(inputs.list_images([str(tmp_path / 'in')]), Bright(), options)))
    assert len(opened) < 15


def test_masks_are_let_go_before_a_job_waits_to_be_written(folder, tmp_path, monkeypatch):
    waiting = []
    real = pipeline.write
    monkeypatch.setattr(pipeline, 'write', lambda job, *more: waiting.append(job) or real(job, *more))
    run(folder, tmp_path / 'out')
    kinds = [type(item).__name__ for item in waiting]
    assert sorted(kinds) == ['Composed'] * 7 + ['Record'] * 2
    composed = [item for item in waiting if isinstance(item, pipeline.Composed)]
    assert not any(isinstance(value, (Instances, torch.Tensor)) for item in composed for value in vars(item).values())


def test_a_shape_that_is_not_equal_to_itself_ends():
    nan = float('nan')
    doubled = map_in_batches(lambda batch: [2 * item for item in batch], [1, 2, 3], 2, lambda item: item * nan, 3)
    assert list(doubled) == [2, 4, 6]
