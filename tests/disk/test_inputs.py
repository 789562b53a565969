import io
import os
import sys
from pathlib import Path

import pytest
from PIL import features

from solo_bg.disk import inputs
from solo_bg.disk.output_names import output_names
from solo_bg.errors import SetupError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def shown(given):
    return [image.shown for image in inputs.list_images([str(item) for item in given])]


def test_folders_are_searched_for_images_of_any_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/b.JPG', 'in/a.png', 'in/deep/er/c.Tiff', 'in/notes.txt', 'in/.hidden', 'in/d.webp', 'in/e.gif')
    assert shown(['in']) == ['in/a.png', 'in/b.JPG', 'in/d.webp', 'in/deep/er/c.Tiff', 'in/e.gif']
    assert [image.below.as_posix() for image in inputs.list_images(['in/deep'])] == ['er/c.Tiff']


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


def test_lists_hold_names_in_any_encoding(tmp_path, monkeypatch):
    """Only line feeds end a line, blanks are kept where they belong to a name, and `..` leads nowhere."""
    monkeypatch.chdir(tmp_path)
    lines = ['é.png', 'a\u2028b.png', ' blanks .png ', 'in/../in/c.png', 'mi\x0bssing.png', '@at.png']
    touch(tmp_path, *lines[:3], 'in/c.png', 'in.png')
    latin = os.fsdecode(b'caf\xe9.png')
    (tmp_path / latin).touch()
    content = '\r\n'.join([*lines, latin, '   in.png\t']).encode(errors='surrogateescape')
    (tmp_path / 'list.txt').write_bytes(b'\xef\xbb\xbf' + content.replace(b' .png \r', b' .png '))
    found = {image.shown: image.below.as_posix() for image in inputs.list_images(['@list.txt'])}
    assert set(found) == {*lines, latin, 'in.png'}
    assert found['in/../in/c.png'] == 'c.png'


def test_a_list_that_is_not_text(tmp_path):
    (tmp_path / 'list.txt').write_bytes('a.png\n'.encode('utf-16'))
    with pytest.raises(SetupError, match='holds a zero byte'):
        shown([f'@{tmp_path}/list.txt'])


def test_paths_with_dots_stay_below_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/a.png', 'in/..png', 'in/...png')
    given = ['in/../in', '../missing/..', 'in/a.png/../../x.png', '..', 'in/..png', 'in/...png', '.']
    images = inputs.list_images(given)
    for name in output_names(images):
        assert '..' not in f'{name}.png'.split('/') and not name.startswith('/')


def test_a_link_to_itself_hides_nothing(tmp_path):
    touch(tmp_path, 'in/a.png')
    (tmp_path / 'in/self.png').symlink_to('self.png')
    (tmp_path / 'in/self').symlink_to('self')
    assert shown([tmp_path / 'in']) == [f'{tmp_path}/in/a.png', f'{tmp_path}/in/self.png']


def test_deep_folders(tmp_path, monkeypatch):
    """Deeper than Python's recursion limit. pytest could not remove them, so the test does."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        os.mkdir('d')
        os.chdir('d')
    touch(Path(), 'a.png')
    deepest = os.open('.', os.O_RDONLY)
    os.chdir(tmp_path)
    try:
        found = inputs.list_images(['d'])
    finally:
        os.chdir(deepest)
        os.close(deepest)
        os.remove('a.png')
        for _ in range(1100):
            os.chdir('..')
            os.rmdir('d')
    assert [len(image.below.parts) for image in found] == [1100]


def test_results_of_earlier_runs_are_not_read_through_a_link(tmp_path):
    touch(tmp_path, 'in/a.png', 'in/out/eliminated/a.png')
    (tmp_path / 'in/again').symlink_to('out')
    found = inputs.list_images([str(tmp_path / 'in')], skip=[str(tmp_path / 'in/out/eliminated')])
    assert [image.below.as_posix() for image in found] == ['a.png']
    (tmp_path / 'link').symlink_to('in')
    found = inputs.list_images([str(tmp_path / 'link')], skip=[str(tmp_path / 'in/out/eliminated')])
    assert [image.below.as_posix() for image in found] == ['a.png']


def test_a_loop_of_links_ends(tmp_path):
    touch(tmp_path, 'in/a.png')
    os.symlink(tmp_path / 'in', tmp_path / 'in' / 'again')
    assert shown([tmp_path / 'in']) == [f'{tmp_path}/in/a.png']


def test_results_of_this_run_are_not_read(tmp_path):
    touch(tmp_path, 'a.png', 'out/eliminated/a.png', 'out/mine.png')
    found = inputs.list_images([str(tmp_path)], skip=[str(tmp_path / 'out/eliminated')])
    assert [image.below.as_posix() for image in found] == ['a.png', 'out/mine.png']


def test_an_empty_input_is_an_error():
    with pytest.raises(SetupError, match='an INPUT is empty'):
        inputs.list_images([''])


def test_a_folder_that_cannot_be_entered_is_listed(tmp_path, monkeypatch):
    """root can enter every folder, so the failure is simulated."""
    touch(tmp_path, 'in/a.png', 'in/locked/b.png')
    real = os.scandir

    def scandir(path):
        if str(path).endswith('locked'):
            raise PermissionError(13, 'Permission denied', str(path))
        return real(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    found = [image.shown for image in inputs.list_images([str(tmp_path / 'in')])]
    assert found == [f'{tmp_path}/in/a.png', f'{tmp_path}/in/locked']


def find(given, **options):
    return inputs.find_images([str(item) for item in given], **options)


def test_metadata_of_macos_is_skipped_and_what_is_left_out_is_counted(tmp_path):
    touch(tmp_path, 'in/a.png', 'in/._a.png', 'in/.DS_Store', 'in/b.txt', 'in/x/c.TXT', 'in/d.pdf', 'in/README')
    listing = find([tmp_path / 'in', tmp_path / 'in/x'])
    assert [image.below.as_posix() for image in listing.images] == ['a.png']
    said = '5 files in the folders are not read: 2 .txt, 1 without suffix, 1 ._* (of macOS), 1 .pdf'
    assert listing.notes() == [said]
    assert find([tmp_path / 'in/a.png']).notes() == []
    assert [image.path.name for image in find([tmp_path / 'in/._a.png']).images] == ['._a.png']


def test_gif_avif_heic_and_videos_are_listed_where_they_can_be_read(tmp_path, monkeypatch):
    touch(tmp_path, 'a.gif', 'b.avif', 'c.heic', 'd.HEIF', 'e.jfif', 'f.mp4')
    everything = inputs.SUFFIXES | set(inputs.OPTIONAL_SUFFIXES)
    monkeypatch.setattr(inputs, 'readable_suffixes', lambda: everything)
    assert len(find([tmp_path]).images) == 6 and find([tmp_path]).notes() == []
    monkeypatch.setattr(inputs, 'readable_suffixes', lambda: inputs.SUFFIXES)
    listing = find([tmp_path])
    assert [image.path.name for image in listing.images] == ['a.gif', 'e.jfif']
    needs = '1 .avif (needs Pillow 11.3 or newer), 1 .heic (needs pillow-heif), 1 .heif (needs pillow-heif), '
    needs += '1 .mp4 (needs PyAV)'
    assert listing.notes() == [f'4 files in the folders are not read: {needs}']


def test_readable_suffixes_are_those_of_installed_libraries(monkeypatch):
    read = inputs.readable_suffixes.__wrapped__
    monkeypatch.setattr(inputs, 'find_spec', lambda name: None)
    assert not {'.heic', '.heif', '.mp4'} & read() and read() >= inputs.SUFFIXES
    monkeypatch.setattr(inputs, 'find_spec', lambda name: name)
    assert {'.heic', '.heif', '.mp4'} <= read()
    assert ('.avif' in read()) == features.check('avif')


@pytest.mark.parametrize('shard', ['', '-00001-of-00004'])
def test_results_of_an_earlier_run_in_another_folder_are_not_read(tmp_path, shard):
    earlier = [f'in/deep/out/{name}' for name in (f'run{shard}.json', f'manifest{shard}.jsonl')]
    touch(tmp_path, 'in/a.png', 'in/deep/out/eliminated/a.png', 'in/deep/out/mine.png', 'in/mask/b.png', *earlier)
    listing = find([tmp_path / 'in'], results=('eliminated', 'mask'))
    assert [image.below.as_posix() for image in listing.images] == ['a.png', 'deep/out/mine.png', 'mask/b.png']
    assert listing.notes() == [f'results of earlier runs are not read as images: {tmp_path}/in/deep/out']
    given = find([tmp_path / 'in/deep/out/eliminated'], results=('eliminated', 'mask'))
    assert [image.below.as_posix() for image in given.images] == ['a.png']


def test_a_pattern_in_quotes_is_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/a.jpg', 'in/b.jpg', 'in/c.png', 'in/x/d.jpg', '[1].jpg')
    assert shown(['in/*.jpg']) == ['in/a.jpg', 'in/b.jpg']
    assert shown(['in/**/*.jpg']) == ['in/a.jpg', 'in/b.jpg', 'in/x/d.jpg']
    assert shown(['[1].jpg']) == ['[1].jpg']  # such a file exists
    with pytest.raises(SetupError, match=r'in/\*\.bmp matches no file'):
        shown(['in/*.bmp'])


def test_urls_are_refused(tmp_path):
    for url in ('https://example.com/a.jpg', 's3://bucket/a.jpg', 'file:///a.jpg'):
        with pytest.raises(SetupError, match=f'{url} is a URL, and URLs are not read; download'):
            shown([url])


def test_a_list_from_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/a.png', 'b.jpg')
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(b'in\n\n b.jpg\r\n')))
    assert shown(['-']) == ['b.jpg', 'in/a.png']


def test_why_there_is_nothing_to_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, 'in/notes.txt')
    expected = '; expected image files, folders of them, or @list.txt'
    for given, said in (
        (['nosuch.jpg'], 'nosuch.jpg does not exist'),
        (['1.jpg', '2.jpg', '3.jpg', '4.jpg'], '1.jpg, 2.jpg, 3.jpg and 1 more do not exist'),
        (['in'], 'no images in in (1 file in the folders is not read: 1 .txt)'),
        (['in', 'nosuch.jpg'], 'no images in in, nosuch.jpg (nosuch.jpg does not exist; 1 file in the folders is not'),
    ):
        message = find(given).why_nothing(given)
        assert message.startswith(said) and message.endswith(expected)
