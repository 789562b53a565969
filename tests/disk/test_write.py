import contextlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from solo_bg.disk import write
from solo_bg.errors import ImageError, SetupError


@pytest.mark.parametrize('suffix', ['.png', '.webp'])
@pytest.mark.parametrize('channels', [3, 4])
def test_lossless_round_trip(tmp_path, rng, suffix, channels):
    picture = rng.integers(0, 256, (20, 30, channels), dtype=np.uint8)
    if channels == 4:
        picture[..., 3] = np.where(picture[..., 3] > 127, 255, 0)  # colours under alpha 0 must survive
    write.write_image(tmp_path / f'a{suffix}', picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / f'a{suffix}'), cv2.IMREAD_UNCHANGED), picture)


def test_sixteen_bits_round_trip(tmp_path, rng):
    picture = rng.integers(0, 65536, (20, 30)).astype(np.uint16)
    write.write_image(tmp_path / 'a.png', picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED), picture)


def test_a_failed_write_leaves_nothing_and_keeps_what_was(tmp_path):
    resource = pytest.importorskip('resource')
    target = tmp_path / 'a.png'
    target.write_bytes(b'before')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # a write of more fails half-way
    try:
        with pytest.raises(ImageError, match=r'cannot write .*: File too large'):
            write.write_bytes(target, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png'] and target.read_bytes() == b'before'


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / 'x').write_bytes(b'a file')
    with pytest.raises(ImageError, match='cannot write'):
        write.write_bytes(tmp_path / 'x' / 'a.png', b'data')


def test_write_all_is_all_or_none(tmp_path):
    (tmp_path / 'b').mkdir()
    with pytest.raises(ImageError, match='cannot write'):
        write.write_all(tmp_path, {'x/a': b'1', 'b': b'2', 'c': b'3'})
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    write.make_folder(tmp_path / 'new' / 'one')
    assert list((tmp_path / 'new/one').iterdir()) == []
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(SetupError, match='results cannot go to'):
        write.make_folder(tmp_path / 'file')


def test_more_folders_than_can_be_made_are_an_error(tmp_path):
    with pytest.raises(ImageError, match='too many folders'):
        write.write_bytes(tmp_path.joinpath(*'a' * 1200, 'a.png'), b'')


def test_only_temporary_files_of_dead_processes_are_removed(tmp_path):
    """This process has the id of the one that died, as it happens in containers."""
    mine, others = (f'.{host}-{os.getpid()}-ffffff0.tmp' for host in (write.HOST, '0' * 8))
    alive = f'.{write.HOST}-{os.getpid()}-{write.PROCESS_TOKEN}0.tmp'
    for name in (mine, others, alive, 'a.tmp'):
        (tmp_path / name).touch()
    write.remove_temporaries(list(tmp_path.iterdir()), alone=False)
    assert {path.name for path in tmp_path.iterdir()} == {others, alive, 'a.tmp'}
    write.remove_temporaries(list(tmp_path.iterdir()), alone=True)
    assert {path.name for path in tmp_path.iterdir()} == {'a.tmp'}


def test_a_temporary_file_that_is_open_is_left_on_windows(tmp_path, monkeypatch):
    """Windows refuses to remove it; the run that tidies up goes on."""
    held, free = (tmp_path / f'.{write.HOST}-{number}-ffffff0.tmp' for number in (2**22 + 1, 2**22 + 2))
    held.touch()
    free.touch()
    real = Path.unlink

    def unlink(path, missing_ok=False):
        if path == held:
            raise PermissionError(13, 'The process cannot access the file', str(path))
        real(path, missing_ok)

    monkeypatch.setattr(Path, 'unlink', unlink)
    write.remove_temporaries([held, free], alone=True)
    assert held.exists() and not free.exists()


@pytest.mark.parametrize('fails', [False, True])
def test_no_file_is_renamed_or_removed_while_it_is_open(tmp_path, monkeypatch, fails):
    """Windows does neither."""
    opened, checked, real_open = [], [], Path.open

    def remember(path, *args, **options):
        opened.append(real_open(path, *args, **options))
        return opened[-1]

    def check(real):
        def call(path, *args, **options):
            checked.append(all(file.closed for file in opened))
            return real(path, *args, **options)

        return call

    monkeypatch.setattr(Path, 'open', remember)
    for name in ('replace', 'unlink'):
        monkeypatch.setattr(Path, name, check(getattr(Path, name)))
    with contextlib.suppress(KeyboardInterrupt), write.open_atomically(tmp_path / 'a.png') as file:
        file.write(b'data')
        if fails:
            raise KeyboardInterrupt
    assert opened and checked == [True]
    assert (tmp_path / 'a.png').exists() != fails
