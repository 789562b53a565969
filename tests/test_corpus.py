"""One run over a folder with every kind of file that may be among images, and fuzzing of the readers."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import awkward
import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from conftest import ROOT

from solo_bg.cli import main as cli
from solo_bg.disk import decode
from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.errors import ImageError

NAMES = [
    *('with space.png', ' space before.png', 'space after .png', 'new\nline.png', 'tab\t.png', '-rf.png', '--help.png'),
    *('quote"\'`.png', '$(reboot).png', '*[x]?.png', '%s{0}.png', '#;&|.png', 'back\\slash.png', '@list.png', '~.png'),
    *('\N{FOX FACE}.png', '\N{RIGHT-TO-LEFT OVERRIDE}gnp.png', '\x1b[2Jescape.png', 'e\u0301.png', '\xe9.png'),
    *('.hidden.png', '...dots.png', 'a..b.png', 'a.png.png', 'UPPER.PNG', 'case.png', 'CASE.png', 'CON.png'),
    *('stem.png', 'stem.bmp', 'sub.png', 'sub/stem.png', 'folder.png/inside.png', 'n' * 251 + '.png'),
    *('\xe9' * 125 + 'x.png', os.fsdecode(b'\xff\xfe not utf-8 \x80.png'), '/'.join(['deep'] * 200) + '/a.png'),
]
WITHHELD = {  # files that cannot be read, and why
    'pipe.jpg': 'is a pipe or a device',
    'socket.jpg': 'cannot be read: No such device',
    'broken_link.png': 'cannot be read: No such file',
    'link_to_itself.png': 'cannot be read: Too many levels of symbolic links',
    'link_to_a_device.png': 'is a pipe or a device',
    'sparse.jpg': r'has 10737418240 bytes; at most 867108864 are read',
    'too_long_to_tell_apart' + 't' * 229 + '.png': 'File name too long',
    'too_long_to_tell_apart' + 't' * 229 + '.bmp': 'File name too long',
    'locked.png': 'cannot be read: Permission denied',
    'z/vanishes.png': 'cannot be read: No such file',
    'z/is_cut.png': 'is truncated',
}
REASONS = {
    'bomb': r'is \d+x\d+, \d+ pixels; at most 100000000 are read',
    'empty': 'is empty',
    'many_scans': '6.. scans',
    'damaged_strip': 'is a TIFF of 3 x 8-bit samples .*, a part of which is damaged or cut off',
    'heic.jpg': 'HEI[CF]',  # HEIF's own error where pillow-heif is installed
    'page.png': 'is a web page',
    **{name: said for name, (_, said) in awkward.not_images().items()},
}


def own_picture(name):
    """A small picture that belongs to this name alone."""
    digest = np.frombuffer(hashlib.sha256(os.fsencode(name)).digest(), np.uint8)
    return np.resize(digest, (4, 8, 3))


def png(picture):
    return cv2.imencode('.png', picture)[1].tobytes()


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make_corpus(folder, aside):
    """Fill the folder; return name -> (expected pixels, tolerance) of every image that can be read."""
    wanted = {}
    for name, (data, picture, tolerance) in awkward.readable().items():
        put(folder / name, data)
        wanted[name] = picture, tolerance
    for name, data in awkward.broken().items():
        put(folder / 'broken' / name, data)
    for name in ['0_first.png', *NAMES, 'z/is_replaced.png', 'z/stays.png']:
        kind = '.bmp' if name.endswith('.bmp') else '.png'
        put(folder / name, cv2.imencode(kind, own_picture(name))[1].tobytes())
        wanted[name] = own_picture(name), 0
    put(folder / 'notes.txt', b'no image')
    make_links(folder, aside, wanted)
    make_changes(folder, aside, wanted)
    return wanted


def make_links(folder, aside, wanted):
    """Links, pipes, sockets and holes."""
    for name in ('elsewhere.png', 'elsewhere/a.png'):
        put(aside / name, png(own_picture(name)))
    for name, target, shown in (
        ('link.png', folder / 'stem.png', 'stem.png'),
        ('link_outside.png', aside / 'elsewhere.png', 'elsewhere.png'),
        ('link_to_folder/a.png', aside / 'elsewhere', 'elsewhere/a.png'),
    ):
        link = folder / name.partition('/')[0]
        link.symlink_to(target)
        wanted[name] = own_picture(shown), 0
    for name, target in (('broken_link.png', 'nowhere'), ('link_to_itself.png', 'link_to_itself.png')):
        (folder / name).symlink_to(target)
    (folder / 'link_to_a_device.png').symlink_to('/dev/zero')
    (folder / 'sub/loop').symlink_to('..')
    put(folder / 'locked.png', png(own_picture('locked.png')))
    (folder / 'locked.png').chmod(0)
    if os.access(folder / 'locked.png', os.R_OK):  # root reads everything
        wanted['locked.png'] = own_picture('locked.png'), 0
    (folder / 'empty.png').mkdir()
    os.mkfifo(folder / 'pipe.jpg')
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(folder)  # a socket's path is at most 107 bytes
        server.bind('socket.jpg')
        os.chdir(before)
    put(folder / 'sparse.jpg', awkward.save(awkward.to_pillow(awkward.photo()), 'JPEG'))
    os.truncate(folder / 'sparse.jpg', 10 << 30)


def make_changes(folder, aside, wanted):
    """Files that `tests/whole.py` will put in the place of others during the run."""
    for name in WITHHELD:
        if name.startswith(('z/', 'too_long')):
            put(folder / name, png(own_picture(name)))
    changed = own_picture('another')
    put(aside / 'after/z%vanishes.png.after', b'')
    put(aside / 'after/z%is_replaced.png.after', png(changed))
    put(aside / 'after/z%is_cut.png.after', png(own_picture('z/is_cut.png'))[:70])
    wanted['z/is_replaced.png'] = changed, 0


def snapshot(folder):
    """path -> content, for everything below the folder; links are not followed."""
    found = {}
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(where, name)
            if path.is_symlink():
                found[path] = os.readlink(path)
            elif path.is_file():
                with open(path, 'rb') as file:
                    found[path] = path.stat().st_size, hashlib.sha256(file.read(1 << 20)).hexdigest()
            else:
                found[path] = path.stat().st_mode
    return found


def run_whole(after, folder, *argv):
    """Run the command in its own process, which must neither hang nor crash."""
    start = [sys.executable, ROOT / 'tests/whole.py', after, folder]
    return subprocess.run([*start, *argv], capture_output=True, timeout=100, cwd=folder, check=False)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """What the finished run left, and what was expected."""
    top = tmp_path_factory.mktemp('corpus')
    folder, aside, out = top / 'in', top / 'aside', top / 'out'
    wanted = make_corpus(folder, aside)
    before = snapshot(top)
    finished = run_whole(aside / 'after', folder, '-o', out, '--styles', 'eliminated', '--batch-size', '3')
    assert finished.returncode == 1, finished.stderr.decode(errors='replace')
    lines = [json.loads(line) for line in (out / 'manifest.jsonl').read_text().splitlines()]
    by_name = {line['input'].removeprefix(f'{folder}/'): line for line in lines}
    assert len(by_name) == len(lines)
    return {'wanted': wanted, 'before': before, 'top': top, 'out': out, 'lines': by_name, 'stderr': finished.stderr}


def test_there_are_at_least_60_kinds():
    assert len(awkward.readable()) + len(NAMES) + len(WITHHELD) >= 60  # and as many broken ones


def test_every_image_is_listed_once_and_nothing_else(done):
    broken = {f'broken/{name}' for name in awkward.broken()}
    assert set(done['lines']) == {*done['wanted'], *broken, *WITHHELD}


def test_images_that_can_be_read_have_the_right_pixels(done):
    for name, (wanted, tolerance) in done['wanted'].items():
        line = done['lines'][name]
        assert line['status'] == 'ok', (name, line['error'])
        data = np.fromfile(done['out'] / line['outputs']['eliminated'], np.uint8)
        written = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert written.shape == wanted.shape, name
        assert np.abs(written.astype(int) - wanted).max() <= tolerance, name


def test_images_that_cannot_be_read_say_why_in_a_line(done):
    failed = {name: line for name, line in done['lines'].items() if line['status'] != 'ok'}
    assert set(failed) == set(done['lines']) - set(done['wanted'])
    for name, line in failed.items():
        below = name.removeprefix('broken/')
        told = (reason for start, reason in REASONS.items() if below.startswith(start))
        reason = WITHHELD.get(name) or next(told, 'is not an image that can be decoded, or is truncated')
        assert re.search(reason, line['error']) and len(line['error'].splitlines()) == 1, (name, line)
        assert line['outputs'] == {}


def test_no_file_is_lost_and_no_other_is_written(done):
    out, folder = done['out'], done['top'] / 'in'
    written = {out / path for line in done['lines'].values() for path in line['outputs'].values()}
    assert len(written) == len(done['wanted'])
    names = 'manifest.jsonl', 'run.json', 'annotations.json', 'annotations.jsonl', 'report.html'
    own = {out / name for name in names} | set((out / 'report/thumbs').glob('??/*.jpg'))
    assert written <= {path for path in out.rglob('*') if not path.is_dir()} <= written | own
    after = {path: what for path, what in snapshot(done['top']).items() if not path.is_relative_to(out) and path != out}
    touched = {path for path, what in done['before'].items() if after.get(path) != what} | after.keys() - done['before']
    changed = {folder / name for name in ('z/vanishes.png', 'z/is_replaced.png', 'z/is_cut.png')}
    assert {path for path in touched if path.is_relative_to(folder)} == changed


def test_annotations_list_the_written_images(done):
    coco = json.loads((done['out'] / 'annotations.json').read_text())
    assert len(coco['images']) == len(coco['annotations']) == len(done['wanted'])
    assert all((done['out'] / 'eliminated' / image['file_name']).is_file() for image in coco['images'])


def test_the_limit_travels_from_the_command_line_to_every_reader(tmp_path, capsys):
    """Images of 4800 pixels are refused at a limit of 4799, and so is a larger picture for the background."""
    make_dataset(tmp_path)
    put(tmp_path / 'other/a.png', png(np.zeros((70, 80, 3), np.uint8)))
    start = ['--source', 'gt', '--ann', str(tmp_path / 'instances.json'), str(tmp_path / 'images'), '--quiet']
    for options, code, reason in (
        (['--max-pixels', '4800'], 0, ''),
        (['--max-pixels', '4799'], 1, 'is 80x60, 4800 pixels; at most 4799 are read (--max-pixels)'),
        (['--max-pixels', '4800', '--fill', f'dir:{tmp_path}/other'], 1, 'a.png is 80x70, 5600 pixels; at most 4800'),
        (['--max-pixels', '4799', '--mix', 'dataset-mean:1'], 2, 'no image can be read to take the mean colour of'),
    ):
        out = tmp_path / f'out{options[1]}{len(options)}'
        assert cli.main([*start, '-o', str(out), *options]) == code
        assert reason in capsys.readouterr().err


# ---- fuzzing


def read(data):
    """`read` or `error`, and the picture; any other exception is a failure of the test."""
    try:
        picture = decode.decode_image(data)
    except ImageError as error:
        assert len(str(error).splitlines()) == 1
        return 'error', None
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert picture.shape[0] * picture.shape[1] <= MAX_PIXELS
    return 'read', picture


def damage(whole, seed):
    """Change a few bytes of a file, half of them near its start, and sometimes insert a part of it again."""
    rng, data = np.random.default_rng(seed), bytearray(whole)
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(len(data) if rng.random() < 0.5 else min(200, len(data)))] = rng.integers(256)
    if rng.random() < 0.3:
        start, where = rng.integers(len(data), size=2)
        data[where:where] = data[start : start + 60]
    return bytes(data)


SOURCES = {
    name: data
    for name, (data, _, _) in awkward.readable().items()
    if not re.match(r'exif\d\.(?!avif)|exif[13-9]\.avif|thin|wide|large', name)
}


def fuzz(name, seeds):
    return Counter(read(damage(SOURCES[name], seed))[0] for seed in seeds)


@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow's, of damaged tags
@pytest.mark.parametrize('name', SOURCES)
def test_damaged_files_are_read_or_refused(name, capfd):
    """And the decoders print nothing."""
    assert fuzz(name, range(5)).total() == 5
    assert capfd.readouterr() == ('', '')


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow's, of damaged tags
@pytest.mark.parametrize('name', SOURCES)
def test_files_damaged_in_many_ways_are_read_or_refused(name):
    print(name, dict(fuzz(name, range(100, 1100))))


@pytest.mark.slow
@pytest.mark.parametrize('name', awkward.encoded(awkward.to_pillow(awkward.photo())))
def test_every_truncation_is_refused_or_whole(name):
    whole = awkward.encoded(awkward.to_pillow(awkward.photo()))[name]
    picture, counted = decode.decode_image(whole), Counter()
    for length in range(len(whole)):
        outcome, cut = read(whole[:length])
        counted[outcome] += 1
        assert cut is None or np.array_equal(cut, picture), f'{length} of {len(whole)} bytes'
    print(name, dict(counted))
