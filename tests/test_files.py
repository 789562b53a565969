import hashlib
import os
from pathlib import Path

import awkward
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solo_bg import files
from solo_bg.errors import ImageError, SetupError

# ---- read

READABLE, BROKEN = awkward.readable(), awkward.broken()


@pytest.mark.parametrize('name', READABLE)
def test_right_pixels(tmp_path, name):
    data, wanted, tolerance = READABLE[name]
    path = tmp_path / name
    path.write_bytes(data)
    pixels = files.read_image(path)
    assert pixels.dtype == np.uint8 and pixels.shape == wanted.shape
    assert np.abs(pixels.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize('name', BROKEN)
def test_broken_images_are_errors(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(ImageError):
        files.read_image(path)


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(ImageError, match='No such file'):
        files.read_image(tmp_path / 'missing.png')
    with pytest.raises(ImageError, match='Is a directory'):
        files.read_image(tmp_path)
    cv2.imwrite(str(tmp_path / 'float.tif'), np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ImageError, match='has float32 pixels'):
        files.read_image(tmp_path / 'float.tif')


# ---- list


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def shown(inputs):
    return [image.shown for image in files.list_images([str(item) for item in inputs])]


def test_folders_are_searched_for_images_of_any_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/b.JPG', 'in/a.png', 'in/deep/er/c.Tiff', 'in/notes.txt', 'in/.hidden', 'in/d.webp', 'in/e.gif')
    assert shown(['in']) == ['in/a.png', 'in/b.JPG', 'in/d.webp', 'in/deep/er/c.Tiff']
    assert [image.below.as_posix() for image in files.list_images(['in/deep'])] == ['er/c.Tiff']


def test_an_explicit_file_is_taken_whatever_its_suffix(tmp_path):
    touch(tmp_path, 'scan.img')
    assert shown([tmp_path / 'scan.img', tmp_path / 'missing.jpg']) == [
        f'{tmp_path}/missing.jpg',
        f'{tmp_path}/scan.img',
    ]


def test_a_path_given_twice_counts_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/a.png')
    assert shown(['in', 'in/a.png', './in/../in', str(tmp_path / 'in')]) == ['in/a.png']


def test_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/a.png', 'x y.jpg')
    (tmp_path / 'list.txt').write_text('in\n\n  x y.jpg  \n')
    assert shown(['@list.txt']) == ['in/a.png', 'x y.jpg']
    with pytest.raises(SetupError, match=r'cannot read the list nothing\.txt'):
        shown(['@nothing.txt'])


def test_a_loop_of_links_ends(tmp_path):
    touch(tmp_path, 'in/a.png')
    os.symlink(tmp_path / 'in', tmp_path / 'in' / 'again')
    assert shown([tmp_path / 'in']) == [f'{tmp_path}/in/a.png']


# ---- name


def name(tmp_path, inputs, *paths):
    touch(tmp_path, *paths)
    images = files.list_images([str(tmp_path / item) for item in inputs])
    names = files.output_names(images)
    return {Path(image.shown).relative_to(tmp_path).as_posix(): name for image, name in zip(images, names, strict=True)}


def test_sub_folders_are_kept_and_the_suffix_goes(tmp_path):
    assert name(tmp_path, ['in'], 'in/a.jpg', 'in/x/a.jpg', 'in/x.y/b.c.png') == {
        'in/a.jpg': 'a',
        'in/x/a.jpg': 'x/a',
        'in/x.y/b.c.png': 'x.y/b.c',
    }


def test_stems_that_collide_keep_their_suffix(tmp_path):
    assert name(tmp_path, ['in'], 'in/a.jpg', 'in/a.png', 'in/A.webp', 'in/b.png') == {
        'in/a.jpg': 'a.jpg',
        'in/a.png': 'a.png',
        'in/A.webp': 'A.webp',
        'in/b.png': 'b',
    }


def test_what_still_collides_gets_a_hash(tmp_path):
    names = name(tmp_path, ['in'], 'in/a.jpg', 'in/A.JPG', 'in/c.png')
    for path, stem in (('in/a.jpg', 'a.jpg'), ('in/A.JPG', 'A.JPG')):
        digest = hashlib.sha256(f'{tmp_path}/{path}'.encode()).hexdigest()[:8]
        assert names[path] == f'{stem}~{digest}'
    assert names['in/c.png'] == 'c'


def test_a_kept_suffix_that_meets_another_stem(tmp_path):
    names = name(tmp_path, ['in'], 'in/a.jpg', 'in/a.png', 'in/a.jpg.bmp')
    assert len(set(names.values())) == 3 and names['in/a.png'] == 'a.png'
    assert names['in/a.jpg'].startswith('a.jpg~') and names['in/a.jpg.bmp'].startswith('a.jpg~')


def test_inputs_that_share_a_path_are_told_apart_by_folder(tmp_path):
    assert name(tmp_path, ['x/train', 'x/val'], 'x/train/a.jpg', 'x/val/a.jpg', 'x/val/b.jpg') == {
        'x/train/a.jpg': 'train/a',
        'x/val/a.jpg': 'val/a',
        'x/val/b.jpg': 'val/b',
    }


def test_files_that_share_a_name_are_told_apart_by_folder(tmp_path):
    assert name(tmp_path, ['x/a.jpg', 'y/a.jpg'], 'x/a.jpg', 'y/a.jpg') == {'x/a.jpg': 'x/a', 'y/a.jpg': 'y/a'}


def test_folders_of_one_name_get_a_hash(tmp_path):
    names = name(tmp_path, ['x/in', 'y/in'], 'x/in/a.jpg', 'y/in/a.jpg')
    assert len(set(names.values())) == 2 and all(value.startswith('in/a.jpg~') for value in names.values())


PARTS = st.sampled_from(['a', 'A', 'b', 'a.jpg', 'a~1', 'x'])
PATHS = st.builds(
    lambda folder, stem, suffix: f'{folder}/{stem}{suffix}', PARTS, PARTS, st.sampled_from(['.jpg', '.JPG', '.png'])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(['p/in', 'q/in', 'r']), PATHS), unique=True), st.randoms())
def test_names_differ_and_do_not_depend_on_the_order(chosen, random):
    images = [
        files.ImageFile(Path(root, below), f'{root}/{below}', files.PurePosixPath(below), Path(root))
        for root, below in chosen
    ]
    names = dict(zip(images, files.output_names(images), strict=True))
    assert len({name.casefold() for name in names.values()}) == len(images)
    random.shuffle(images)
    assert files.output_names(images) == [names[image] for image in images]


# ---- encode and write


@pytest.mark.parametrize('suffix', ['.png', '.webp'])
@pytest.mark.parametrize('channels', [3, 4])
def test_lossless_round_trip(tmp_path, rng, suffix, channels):
    picture = rng.integers(0, 256, (20, 30, channels), dtype=np.uint8)
    if channels == 4:
        picture[..., 3] = np.where(picture[..., 3] > 127, 255, 0)  # colours under alpha 0 must survive
    files.write_image(tmp_path / f'a{suffix}', picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / f'a{suffix}'), cv2.IMREAD_UNCHANGED), picture)


def test_sixteen_bits_round_trip(tmp_path, rng):
    picture = rng.integers(0, 65536, (20, 30)).astype(np.uint16)
    files.write_image(tmp_path / 'a.png', picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED), picture)


def test_jpeg_quality(rng):
    picture = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert len(files.encode_image(picture, '.jpg', 20)) < len(files.encode_image(picture, '.jpg', 95))


def test_what_a_format_cannot_hold_is_an_error():
    with pytest.raises(ImageError, match='a JPEG has no alpha'):
        files.encode_image(np.zeros((2, 2, 4), np.uint8), '.jpg')
    with pytest.raises(ImageError, match='16383'):
        files.encode_image(np.zeros((1, 16400, 3), np.uint8), '.webp')
    with pytest.raises(ImageError, match='cannot be encoded'):
        files.encode_image(np.zeros((2, 2, 3), np.uint8), '.nothing')


def test_a_failed_write_leaves_nothing_and_keeps_what_was(tmp_path, monkeypatch):
    target = tmp_path / 'a.png'
    target.write_bytes(b'before')

    def full(self, data):
        Path.open(self, 'wb').close()
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(ImageError, match='No space left on device'):
        files.write_bytes(target, b'after')
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ['a.png'] and target.read_bytes() == b'before'


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / 'x').write_bytes(b'a file')
    with pytest.raises(ImageError, match='cannot write'):
        files.write_bytes(tmp_path / 'x' / 'a.png', b'data')
