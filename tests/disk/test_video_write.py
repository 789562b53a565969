"""Videos as they are written, read back by PyAV alone."""

import av
import numpy as np
import pytest
from drawn_video import draw_frames, read_clip, read_packets, write_clip

from solo_bg.disk.video import open_video
from solo_bg.disk.video_write import pipe_video, write_video
from solo_bg.errors import ImageError

FRAMES = draw_frames()
UNEVEN = [0, 40, 45, 120, 121, 200, 500, 505, 700, 710]


def copy(path, to, draw=lambda pixels: pixels, crf=18):
    """Every frame of a video through `draw` into another one."""
    with open_video(path) as video, write_video(to, video, crf) as writer:
        for frame in video.frames():
            writer.add(draw(frame.pixels()), frame)
    return to


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize('size', [(48, 64), (47, 63)])
def test_crf_0_loses_nothing(tmp_path, size):
    frames = draw_frames(10, *size)
    path = copy(write_clip(tmp_path / 'a.mkv', frames, times=UNEVEN), tmp_path / 'b.mp4', crf=0)
    pixels, times = read_clip(path)
    assert same(pixels, frames) and times == UNEVEN


@pytest.mark.parametrize(('size', 'pixels'), [((48, 64), 'yuv420p'), ((47, 64), 'yuv444p'), ((48, 63), 'yuv444p')])
def test_h264_has_the_size_and_about_the_pixels(tmp_path, size, pixels):
    frames = draw_frames(10, *size)
    path = copy(write_clip(tmp_path / 'a.mkv', frames), tmp_path / 'b.mp4')
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ('h264', pixels)
    found, times = read_clip(path)
    assert times == list(range(0, 400, 40)) and np.abs(np.array(found, int) - np.array(frames)).mean() < 4


@pytest.mark.parametrize(('given', 'space', 'reach'), [('yuv420p', 1, 2), ('yuv420p', 5, 1), ('bgr0', None, None)])
@pytest.mark.parametrize('suffix', ['.mp4', '.webm'])
def test_colours_and_their_range_are_kept(tmp_path, given, space, reach, suffix):
    colour = {} if given == 'bgr0' else {'colorspace': space, 'color_range': reach}
    codec = ('ffv1', 'bgr0') if given == 'bgr0' else ('libx264', given)
    frames = [np.full((48, 64, 3), bgr, np.uint8) for bgr in ((0, 0, 0), (255, 255, 255), (0, 0, 255), (200, 40, 10))]
    source = write_clip(tmp_path / 'a.mkv', frames, *codec, **colour)
    path = copy(source, tmp_path / f'b{suffix}', lambda pixels: np.dstack([pixels, pixels[..., :1] | 255]))
    path = path if suffix == '.webm' else copy(source, path)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == ((1, 1) if given == 'bgr0' else (space, reach))
    found, _ = read_clip(path)
    assert np.abs(np.array(found, int) - np.array(frames)).max() <= 10  # a wrong matrix or range is off by 20 and more


def test_alpha_and_labels(tmp_path):
    source = write_clip(tmp_path / 'a.mkv', FRAMES, times=UNEVEN)
    ramp = np.tile(np.arange(64) * 4, (48, 1))
    path = copy(source, tmp_path / 'b.webm', lambda pixels: np.dstack([pixels, ramp.astype(np.uint8)]), crf=5)
    pixels, times = read_clip(path, 'bgra', 'libvpx-vp9')
    assert times == UNEVEN and np.abs(np.array(pixels)[..., 3] - ramp).max() <= 6
    path = copy(source, tmp_path / 'b.mkv', lambda pixels: (ramp * 257 + pixels[0, 0, 2]).astype(np.uint16))
    pixels, times = read_clip(path, 'gray16le')
    assert times == UNEVEN and same(pixels, [ramp * 257 + frame[0, 0, 2] for frame in FRAMES])


@pytest.mark.parametrize(
    ('name', 'sound', 'to', 'codec'),
    [
        ('a.mp4', 'aac', 'b.mp4', None),
        ('a.mkv', 'libopus', 'b.webm', None),
        ('a.mkv', 'libopus', 'b.mp4', None),
        ('a.mp4', 'aac', 'b.webm', 'opus'),
        ('a.mkv', 'pcm_s16le', 'b.mp4', 'aac'),
    ],
)
def test_sound_is_copied_or_encoded_where_the_container_lacks_its_codec(tmp_path, name, sound, to, codec):
    source = write_clip(tmp_path / name, draw_frames(25), 'libx264', 'yuv420p', sound=sound)
    path = copy(source, tmp_path / to, lambda pixels: np.dstack([pixels, pixels[..., 0]]) if 'webm' in to else pixels)
    if codec is None:
        (packets, times), (expected, when) = (zip(*read_packets(one), strict=True) for one in (path, source))
        assert len(packets) > 40 and packets == expected and times == pytest.approx(when, abs=1e-3)
        return
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == codec
        assert sum(frame.samples for frame in container.decode(stream)) == pytest.approx(48000, abs=2100)


def test_an_interrupted_video_leaves_nothing(tmp_path):
    source = write_clip(tmp_path / 'a.mkv', FRAMES)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/b.mp4').write_bytes(b'earlier')
    for error in (KeyboardInterrupt, ImageError):

        def fail(pixels, error=error, seen=[]):  # noqa: B006
            seen.append(1)
            if len(seen) > 5:
                raise error('stop')
            return pixels

        with pytest.raises(error):
            copy(source, tmp_path / 'out/b.mp4', fail)
        assert [path.name for path in (tmp_path / 'out').iterdir()] == ['b.mp4']
        assert (tmp_path / 'out/b.mp4').read_bytes() == b'earlier'


def test_a_folder_that_cannot_be_written_is_an_image_error(tmp_path):
    source = write_clip(tmp_path / 'a.mkv', FRAMES)
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(ImageError, match='cannot write'):
        copy(source, tmp_path / 'out/b.mp4')


@pytest.mark.parametrize('channels', [3, 4])
def test_raw_frames_are_rgb(tmp_path, channels):
    path = write_clip(tmp_path / 'a.mkv', FRAMES, times=UNEVEN)
    with open_video(path) as video, (tmp_path / 'b').open('wb') as file, pipe_video(file, 'raw:-', video) as writer:
        for frame in video.frames():
            writer.add(np.dstack([frame.pixels(), frame.pixels()])[..., :channels], frame)
    expected = [np.dstack([frame[..., ::-1], frame])[..., :channels] for frame in FRAMES]
    expected = [
        np.dstack([one[..., :3], frame[..., :1]])[..., :channels] for one, frame in zip(expected, FRAMES, strict=True)
    ]
    assert (tmp_path / 'b').read_bytes() == np.array(expected).tobytes()
