import hashlib
from pathlib import Path, PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st

from solo_bg.disk import inputs
from solo_bg.disk.output_names import output_names


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def name(tmp_path, given, *paths):
    touch(tmp_path, *paths)
    images = inputs.list_images([str(tmp_path / item) for item in given])
    names = output_names(images)
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


def test_composed_and_decomposed_letters_collide(tmp_path):
    names = name(tmp_path, ['in'], 'in/\xe9.png', 'in/e\u0301.png')
    assert len(set(names.values())) == 2 and all('~' in one for one in names.values())


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
        inputs.ImageFile(Path(root, below), f'{root}/{below}', PurePosixPath(below), Path(root))
        for root, below in chosen
    ]
    names = dict(zip(images, output_names(images), strict=True))
    assert len({name.casefold() for name in names.values()}) == len(images)
    random.shuffle(images)
    assert output_names(images) == [names[image] for image in images]


def test_a_file_where_another_needs_a_folder(tmp_path):
    """`a.jpg` would become the file `a.png`, in which `a.png/x.jpg` would go."""
    names = name(tmp_path, ['in'], 'in/a.jpg', 'in/a.png/x.jpg')
    assert names['in/a.jpg'].startswith('a.jpg') and names['in/a.png/x.jpg'] == 'a.png/x'
