"""Frames of videos as they are read."""

import numpy as np
import pytest
from drawn_video import draw_frames, write_clip

from solo_bg.disk.inputs import find_images, list_images
from solo_bg.disk.output_names import output_names
from solo_bg.disk.video import open_video
from solo_bg.errors import ImageError

FRAMES = draw_frames()
UNEVEN = [0, 40, 45, 120, 121, 200, 500, 505, 700, 710]


def read(path, **options):
    with open_video(path, **options) as video:
        frames = list(video.frames())
        times = [round(1000 * frame.pts * video.time_base) for frame in frames]
        return [frame.pixels() for frame in frames], times, video.fault


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize('times', [None, UNEVEN])
@pytest.mark.parametrize('size', [(48, 64), (47, 63), (1, 1)])
def test_lossless_frames_come_back_with_their_times(tmp_path, times, size):
    frames = draw_frames(10, *size)
    pixels, found, fault = read(write_clip(tmp_path / 'a.mkv', frames, times=times))
    assert same(pixels, frames) and found == (times or list(range(0, 400, 40))) and fault is None
    assert all(one.flags.c_contiguous for one in pixels)


@pytest.mark.parametrize(('matrix', 'turns'), [('clockwise', -1), ('half', 2), ('counterclockwise', 1)])
def test_frames_are_turned_upright(tmp_path, matrix, turns):
    options = {'codec': 'libx264rgb', 'pixels': 'bgr24', 'options': {'qp': '0'}}
    path = write_clip(tmp_path / 'a.mp4', FRAMES, matrix=matrix, **options)
    assert same(read(path)[0], [np.rot90(frame, turns) for frame in FRAMES])


@pytest.mark.parametrize('colour', [{'color_range': 2, 'colorspace': 1}, {'color_range': 1, 'colorspace': 5}, {}])
def test_colours_are_those_that_were_encoded(tmp_path, colour):
    path = write_clip(tmp_path / 'a.mp4', FRAMES, 'libx264', 'yuv444p', options={'qp': '0'}, **colour)
    difference = np.abs(np.array(read(path)[0], int) - np.array(FRAMES))
    assert difference.max() <= 4 and difference.mean() < 1  # rounding; the wrong range or matrix is off by 10 and more


@pytest.mark.parametrize(
    ('name', 'codec', 'options'),
    [
        ('a.mkv', 'ffv1', {}),
        ('a.webm', 'libvpx-vp9', {}),
        ('a.mkv', 'libx264', {'sound': 'aac'}),
        ('a.mp4', 'libx264', {'format_options': {'movflags': 'frag_every_frame+empty_moov'}}),
        ('a.avi', 'mpeg4', {}),
    ],
)
def test_a_damaged_end_gives_the_frames_before_it(tmp_path, name, codec, options):
    pixels = 'bgr0' if codec == 'ffv1' else 'yuv420p'
    path = write_clip(tmp_path / name, draw_frames(40, 96, 128), codec, pixels, **options)
    whole, _, fault = read(path)
    assert len(whole) == 40 and fault is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    found, _, fault = read(path)
    assert 5 < len(found) < 30 and same(found[:-2], whole[: len(found) - 2])
    if name != 'a.avi':  # whose length FFmpeg takes from what is there
        assert fault.startswith('is damaged (') and f'{len(found)}' in fault and '\n' not in fault


def test_a_damaged_middle_is_skipped(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', draw_frames(40, 96, 128), 'libx264', 'yuv420p')
    whole, data = read(path)[0], bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    path.write_bytes(data)
    found, times, fault = read(path)
    assert 20 < len(found) < 40 and times[-1] == 39 * 40 and same(found[:10], whole[:10])
    assert fault == f'is damaged (Invalid data found when processing input): {len(found)} of 40 frames could be read'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'cannot be read as a video'),
        (b'no video' * 100, 'cannot be read as a video'),
        (b'\0\0\0\x18ftypmp42\0\0\0\0' + bytes(500), 'cannot be read as a video'),
        (None, 'cannot be read as a video: No such file'),
    ],
)
def test_what_is_no_video_is_one_error(tmp_path, content, message, capfd):
    if content is not None:
        (tmp_path / 'a.mp4').write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read(tmp_path / 'a.mp4')
    assert capfd.readouterr() == ('', '')


def test_large_frames_are_refused_before_they_are_decoded(tmp_path):
    path = write_clip(tmp_path / 'a.mkv', FRAMES)
    with pytest.raises(ImageError, match=r'is 64x48, 3072 pixels a frame; at most 3071 .*--max-pixels'):
        read(path, max_pixels=3071)


def test_a_playlist_reads_no_other_file(tmp_path):
    write_clip(tmp_path / 'b.mkv', FRAMES)
    (tmp_path / 'a.mp4').write_text(f'#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/b.ts\n{tmp_path}/b.mkv\n#EXT-X-ENDLIST\n')
    with pytest.raises(ImageError):
        read(tmp_path / 'a.mp4')


def test_folders_are_searched_for_videos_too(tmp_path):
    for name in ('a.png', 'a.MOV', 'b/000000.png', 'b.mkv', 'c.ts'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'.')
    listing = find_images([str(tmp_path)])
    names = dict(zip([image.below.as_posix() for image in listing.images], output_names(listing.images), strict=True))
    assert names == {'a.png': 'a', 'a.MOV': 'a', 'b/000000.png': 'b/000000', 'b.mkv': 'b.mkv'}
    assert [image.below.as_posix() for image in list_images([str(tmp_path)])] == ['a.png', 'b/000000.png']
