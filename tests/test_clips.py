"""Videos through the command: what comes out equals what comes out for their frames as images."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from drawn_video import draw_frames, read_clip, read_packets, write_clip

from solo_bg import Instances, Source
from solo_bg.cli import main as cli
from solo_bg.cli.arguments import parse

FRAMES = draw_frames()
UNEVEN = [0, 40, 45, 120, 121, 200, 500, 505, 700, 710]
TOY = ['--source', 'toy_source:Threshold']  # the blue channel of the square is 250, that of the rest below 128
LOSSLESS = {'codec': 'libx264rgb', 'pixels': 'bgr24', 'options': {'qp': '0'}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words, quiet=True):
    return cli.main([*TOY, *words, *(['--quiet'] if quiet else [])])


def manifest(out='out'):
    return [json.loads(line) for line in Path(out, 'manifest.jsonl').read_text().splitlines()]


def as_images(frames, out, *options):
    """The results of the command for the frames as PNG files: style -> pictures."""
    os.makedirs('stills', exist_ok=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(f'stills/{index:06d}.png', frame)
    assert run('stills', '-o', out, '--report', 'none', *options) == 0
    styles = [path for path in sorted(Path(out).iterdir()) if path.is_dir()]
    return {style.name: [read_picture(path) for path in sorted(style.iterdir())] for style in styles}


def read_picture(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize('size', [(48, 64), (47, 63)])
def test_every_frame_equals_the_same_image_through_the_command(folder, size):
    frames = draw_frames(10, *size)
    frames[4][:] = 20  # nothing is found in it
    write_clip('a.mkv', frames, times=UNEVEN)
    options = ['--styles', 'eliminated,overlay,mask,labels,cutout', '--on-empty', 'black', '--dilate', '2']
    expected = as_images(frames, 'expected', *options)
    assert run('a.mkv', *options, '--crf', '0') == 0
    for style in ('eliminated', 'overlay', 'mask'):
        found, times = read_clip(f'out/{style}/a.mp4')
        pictures = expected[style] if style != 'mask' else [np.dstack([one] * 3) for one in expected['mask']]
        assert same(found, pictures) and times == UNEVEN, style
    assert same(read_clip('out/labels/a.mkv', 'gray16le')[0], expected['labels'])
    cutouts = np.array(read_clip('out/cutout/a.webm', 'bgra', 'libvpx-vp9')[0])
    assert np.array_equal(cutouts[..., 3], np.array(expected['cutout'])[..., 3])
    (line,) = manifest()
    assert (line['input'], line['status'], line['frames'], line['instances']) == ('a.mkv', 'ok', 10, 10)
    assert line['outputs'] == {
        **{style: f'{style}/a.mp4' for style in ('eliminated', 'overlay', 'mask')},
        **{'labels': 'labels/a.mkv', 'cutout': 'cutout/a.webm'},
    }


def test_frames_as_pictures_equal_the_images(folder):
    write_clip('a.mp4', FRAMES, **LOSSLESS, matrix='clockwise')
    options = ['--styles', 'eliminated,mask,cutout']
    expected = as_images([np.rot90(frame, -1) for frame in FRAMES], 'expected', *options)
    assert run('a.mp4', *options, '--frames', 'every:3') == 0
    for style, pictures in expected.items():
        found = sorted(Path('out', style, 'a').iterdir())
        assert [path.stem for path in found] == ['000000', '000003', '000006', '000009']
        assert same([read_picture(path) for path in found], pictures[::3])
    coco, still = (json.loads(Path(out, 'annotations.json').read_text()) for out in ('out', 'expected'))
    assert coco['videos'] == [{'id': 1, 'name': 'a.mp4'}]
    assert [(one['video_id'], one['frame_id'], one['file_name']) for one in coco['images']] == [
        (1, index, f'a/{index:06d}.png') for index in (0, 3, 6, 9)
    ]
    shapes = [one['segmentation'] for one in still['annotations']]
    assert [one['segmentation'] for one in coco['annotations']] == shapes[::3]
    lines = manifest()
    assert [line['input'] for line in lines] == ['a.mp4', *(f'a.mp4#{index:06d}' for index in (0, 3, 6, 9))]
    assert lines[0]['frames'] == 10 and lines[0]['outputs'] == {} and 'frames' not in lines[1]


def test_images_and_videos_together_keep_their_sound_and_times(folder):
    os.mkdir('in')
    cv2.imwrite('in/a.png', FRAMES[3])
    write_clip('in/a.mp4', FRAMES, 'libx264', 'yuv420p', times=UNEVEN, sound='aac')
    assert cli.main([*TOY, 'in', '--styles', 'eliminated']) == 0
    assert sorted(map(str, Path('out/eliminated').iterdir())) == ['out/eliminated/a.mp4', 'out/eliminated/a.png']
    assert read_clip('out/eliminated/a.mp4')[1] == UNEVEN
    assert [packet for packet, _ in read_packets('out/eliminated/a.mp4')] == [
        packet for packet, _ in read_packets('in/a.mp4')
    ]
    coco = json.loads(Path('out/annotations.json').read_text())
    assert [one['file_name'] for one in coco['images']] == ['a.png'] and 'videos' not in coco


def test_a_finished_video_is_not_done_again(folder, capsys):
    write_clip('a.mkv', FRAMES)
    for options in ([], ['--frames', 'all']):
        out = f'out{len(options)}'
        assert run('a.mkv', '-o', out, *options) == 0
        before = {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in Path(out).rglob('*.*')
            if path.parent != Path(out)
        }
        lines = Path(out, 'manifest.jsonl').read_bytes()
        assert run('a.mkv', '-o', out, '--resume', *options) == 0
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
        assert Path(out, 'manifest.jsonl').read_bytes() == lines
        gone = next(path for path in before if path.suffix in ('.mp4', '.png'))
        gone.unlink()
        assert run('a.mkv', '-o', out, '--resume', *options) == 0
        assert gone.read_bytes() == before[gone][0]
        assert [{**line, 'seconds': 0} for line in manifest(out)] == [
            {**json.loads(line), 'seconds': 0} for line in lines.splitlines()
        ]


def test_frames_of_an_earlier_file_are_forgotten(folder):
    write_clip('a.mkv', FRAMES)
    assert run('a.mkv', '--frames', 'all', '--styles', 'eliminated') == 0
    write_clip('a.mkv', FRAMES[2:6])
    assert run('a.mkv', '--frames', 'all', '--styles', 'eliminated', '--resume') == 0
    assert [line['input'] for line in manifest()] == ['a.mkv', *(f'a.mkv#{index:06d}' for index in range(4))]
    assert len(list(Path('out/eliminated/a').iterdir())) == 4
    assert len(json.loads(Path('out/annotations.json').read_text())['images']) == 4


def test_a_damaged_end_is_one_line_and_no_failure(folder, capsys):
    path = write_clip(folder / 'a.mkv', draw_frames(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run('a.mkv', '--styles', 'mask') == 0
    (line,) = manifest()
    assert 10 < line['frames'] < 30 and f'{line["frames"]} frames could be read' in line['note']
    assert capsys.readouterr().err == f'eliminate_bg: warning: a.mkv {line["note"]}\n'
    assert len(read_clip('out/mask/a.mp4')[0]) == line['frames']


def test_a_video_that_cannot_be_read_is_an_error_and_the_others_go_on(folder, capsys):
    write_clip('a.mkv', FRAMES)
    Path('b.mp4').write_text('no video')
    os.mkfifo('c.mp4')
    assert run('a.mkv', 'b.mp4', 'c.mp4', 'd.mp4', '--styles', 'mask') == 1
    status = {line['input']: line['error'] for line in manifest()}
    assert status['a.mkv'] is None and 'cannot be read as a video' in status['b.mp4']
    assert 'is a pipe or a device' in status['c.mp4'] and 'cannot be read: No such file' in status['d.mp4']
    assert [path.name for path in Path('out/mask').iterdir()] == ['a.mp4']


class Fails(Source):
    """Fails at the seventh frame."""

    class_names = ('one',)
    seen = 0

    @classmethod
    def build(cls, settings):
        return cls()

    def describe(self):
        return {}

    def __call__(self, images):
        self.seen += 1
        if self.seen == 7:
            raise ValueError('the seventh')
        return [Instances(torch.ones(1, 48, 64).bool(), torch.zeros(1).long(), torch.ones(1), self.class_names)]


class Counts(Source):
    """Remembers how many frames of a clip it has seen: the mask has as many columns."""

    class_names = ('one',)

    @classmethod
    def build(cls, settings):
        return cls()

    def describe(self):
        return {}

    def find(self, image, count):
        mask = torch.zeros(1, *image.pixels.shape[:2], dtype=torch.bool)
        mask[..., :count] = True
        return Instances(mask, torch.zeros(1).long(), torch.ones(1), self.class_names)

    def __call__(self, images):
        return [self.find(image, 1) for image in images]

    def start_clip(self):
        seen = []
        return lambda image: self.find(image, seen.append(image) or len(seen))


def test_an_error_in_a_frame_is_an_error_of_the_video(folder):
    write_clip('a.mkv', FRAMES)
    assert cli.main(['--source', 'test_clips:Fails', 'a.mkv', '--quiet']) == 1
    (line,) = manifest()
    assert line['error'].startswith('frame 6: unexpected ValueError: the seventh') and line['outputs'] == {}
    assert not [path for style in ('eliminated', 'overlay') for path in Path('out', style).glob('*')]


@pytest.mark.parametrize('options', [['--batch-size', '4'], ['--frames', 'all']])
def test_a_source_that_remembers_gets_the_frames_of_each_video_in_order(folder, options):
    for name in ('a.mkv', 'b.mkv'):
        write_clip(name, FRAMES)
    words = ['--source', 'test_clips:Counts', 'a.mkv', 'b.mkv', '--styles', 'mask', '--quiet', *options]
    for again in ([], ['--resume']):
        assert cli.main([*words, *again]) == 0
        for name in ('a', 'b'):
            if '--frames' in options:
                masks = [read_picture(path) for path in sorted(Path('out/mask', name).iterdir())]
                Path('out/mask', name, '000004.png').unlink()  # is made again, with the frames before it
            else:
                masks = [mask[..., 0] for mask in read_clip(f'out/mask/{name}.mp4')[0]]
            assert [(mask[20] > 127).sum() for mask in masks] == list(range(1, 11))


def test_smooth_takes_a_flicker_out(folder):
    frames = draw_frames()
    for index in (3, 6):
        frames[index][12:21] = 0  # half of the square is not found
    write_clip('a.mkv', frames)
    assert run('a.mkv', '--styles', 'mask', '--smooth', '3', '--crf', '0') == 0
    found = [mask[..., 0] > 0 for mask in read_clip('out/mask/a.mp4')[0]]
    wanted = [frame[..., 0] > 128 for frame in FRAMES]
    assert all(np.logical_xor(*pair).sum() <= 2 * 9 * 3 for pair in zip(found, wanted, strict=True))
    flickers = [np.logical_xor(frame[..., 0] > 128, mask).sum() for frame, mask in zip(frames, wanted, strict=True)]
    assert max(flickers) == 9 * 18


SLOW = """
import os, sys, time
from solo_bg.cli import main
import toy_source
find = toy_source.Threshold.__call__
def slow(self, images):
    if os.path.exists('go'):
        time.sleep(0.3)
    return find(self, images)
toy_source.Threshold.__call__ = slow
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == 'nt', reason='there is no SIGKILL')
def test_a_kill_leaves_nothing_half(folder):
    write_clip('a.mkv', FRAMES * 3)
    assert run('a.mkv', '-o', 'whole', '--styles', 'eliminated,mask') == 0
    Path('go').touch()
    words = [*TOY, 'a.mkv', '--quiet', '--styles', 'eliminated,mask']
    search = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'tests')])}
    process = subprocess.Popen([sys.executable, '-c', SLOW, *words], env=search)
    while len(list(Path('out').glob('*/.*.tmp'))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(Path('out').glob('*/[!.]*')) == []
    assert run('a.mkv', '--resume', '--styles', 'eliminated,mask') == 0
    assert [path.name for path in sorted(Path('out').glob('*/*'))] == ['a.mp4', 'a.mp4']
    for style in ('eliminated', 'mask'):
        assert same(read_clip(f'out/{style}/a.mp4')[0], read_clip(f'whole/{style}/a.mp4')[0])


class Standard:
    """Standard input or output, by its bytes."""

    def __init__(self, path, mode):
        self.buffer = open(path, mode)  # noqa: SIM115

    def reconfigure(self, **options):
        pass


@pytest.mark.parametrize(('given', 'to'), [('y4m', 'raw'), ('raw', 'raw'), ('raw', 'y4m')])
def test_frames_through_pipes(folder, monkeypatch, given, to):
    """Raw frames are exact; Y4M has other colours, so that its masks are compared."""
    rgb = np.array(FRAMES)[..., ::-1]
    if given == 'raw':
        Path('pipe').write_bytes(rgb.tobytes())
    else:
        write_clip('a.y4m', FRAMES, 'wrapped_avframe', 'yuv444p')
        shutil.copy('a.y4m', 'pipe')
    monkeypatch.setattr(sys, 'stdin', Standard('pipe', 'rb'))
    monkeypatch.setattr(sys, 'stdout', Standard('piped', 'wb'))
    name = 'raw:64x48@25:-' if given == 'raw' else 'y4m:-'
    assert run(name, '-o', f'{to}:-', '--styles', 'eliminated') == 0
    sys.stdout.buffer.close()
    data = Path('piped').read_bytes()
    if to == 'y4m':
        assert data.startswith(b'YUV4MPEG2 W64 H48 F25:1 ') and data.count(b'FRAME\n') == 10
        return
    found, wanted = np.frombuffer(data, np.uint8).reshape(rgb.shape), rgb * (rgb[..., 2:] > 128)
    if given == 'raw':
        assert np.array_equal(found, wanted)
    assert np.array_equal(found.any(3), wanted.any(3))
    assert not Path('out').exists() and not Path('raw:-').exists()


def test_a_pipe_into_a_folder(folder, monkeypatch):
    Path('pipe').write_bytes(np.array(FRAMES)[..., ::-1].tobytes())
    monkeypatch.setattr(sys, 'stdin', Standard('pipe', 'rb'))
    assert run('raw:64x48@25:-', '--styles', 'mask', '--crf', '0') == 0
    (line,) = manifest()
    assert line['input'] == 'raw:64x48@25:-' and line['outputs'] == {'mask': 'mask/stdin.mp4'} and line['frames'] == 10


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['a.mkv', '-o', 'y4m:-'], 'takes one style, and not labels, got eliminated,overlay'),
        (['a.mkv', '-o', 'raw:-', '--styles', 'mask', '--frames', 'all'], '--frames needs a folder of results'),
        (['a.png', '-o', 'raw:-', '--styles', 'mask'], 'takes one video, got a.png; choose a folder'),
        (['a.mkv', '--smooth', '4'], '--smooth expected an odd number of frames, got 4'),
        (['a.mkv', '--crf', '60'], 'crf expected a whole number from 0 to 51, got 60'),
        (['a.mkv', '--frames', 'every:0'], "expected all, or every:N such as every:10, got 'every:0'"),
    ],
)
def test_wrong_options_are_one_line(folder, words, message, capsys):
    write_clip('a.mkv', FRAMES[:1])
    cv2.imwrite('a.png', FRAMES[0])
    try:
        code = run(*words)
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count('\n') == 1


def test_raw_frames_without_a_size_are_an_error(folder, monkeypatch, capsys):
    assert run('raw:-', '--styles', 'mask') == 1
    assert 'expected raw:WIDTHxHEIGHT@RATE:-' in manifest()[0]['error']


def test_a_video_alone_uses_the_bundled_model(folder):
    write_clip('a.mp4', FRAMES, **LOSSLESS)
    assert parse(['a.mp4']).settings.inputs == ['a.mp4']
    assert parse(['y4m:-', '-o', 'y4m:-']).settings.inputs == ['y4m:-']


def test_dry_run_names_the_videos(folder, capsys):
    write_clip('a.mkv', FRAMES[:1])
    assert run('a.mkv', '--dry-run', '--styles', 'mask,cutout,labels') == 0
    assert capsys.readouterr().out.splitlines() == [
        'a.mkv -> mask/a.mp4, cutout/a.webm, labels/a.mkv',
        '1 video, not counted in the estimate',
    ]
    assert run('a.mkv', '--dry-run', '--styles', 'mask', '--frames', 'all') == 0
    printed = capsys.readouterr().out
    assert 'a.mkv -> mask/a/000000.png, ...' in printed and '1 video, not counted' in printed
    assert not Path('out').exists()


def test_shards_keep_the_frames_of_a_video_together(folder):
    for name in ('a.mkv', 'b.mkv', 'c.mkv'):
        write_clip(name, FRAMES[:3])
    words = ['a.mkv', 'b.mkv', 'c.mkv', '--frames', 'all', '--styles', 'eliminated']
    assert run(*words, '-o', 'whole') == 0
    for index in (0, 1):
        assert run(*words, '--shard', f'{index}/2') == 0
    assert cli.main(['--merge', 'out']) == 0
    assert [{**line, 'seconds': 0} for line in manifest()] == [{**line, 'seconds': 0} for line in manifest('whole')]
    assert Path('out/annotations.json').read_bytes() == Path('whole/annotations.json').read_bytes()
