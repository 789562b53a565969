"""Small videos, drawn frame by frame."""

from fractions import Fraction

import av
import numpy as np

MILLISECONDS = Fraction(1, 1000)
# display matrices as QuickTime and MP4 hold them: (x, y) -> (a x + c y, b x + d y), 16.16 fixed point, y downwards
ONE = 1 << 16
MATRICES = {
    'clockwise': (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    'half': (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    'counterclockwise': (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}


def draw_frames(count=10, height=48, width=64):
    """A bright square that moves to the right on a smooth background; uint8 (height, width, 3), BGR."""
    y, x = np.mgrid[:height, :width]
    frames = []
    for index in range(count):
        frame = np.stack([y * 2 % 120, x % 120, np.full_like(x, 40 + 5 * index)], 2).astype(np.uint8)
        frame[12:30, 4 + 3 * index : 22 + 3 * index] = 250, 200, 30
        frames.append(frame)
    return frames


def write_clip(
    path,
    frames,
    codec='ffv1',
    pixels='bgr0',
    times=None,
    sound=None,
    matrix=None,
    options=None,
    format_options=None,
    **context,
):
    """Encode frames; by default without loss. `times` are in milliseconds. `sound`: the codec of a second of tones."""
    with av.open(str(path), 'w', options=format_options or {}) as container:
        height, width = frames[0].shape[:2]
        size = {'width': width, 'height': height, 'pix_fmt': pixels, 'time_base': MILLISECONDS}
        stream = container.add_stream(codec, 25, options or {}, **size)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if matrix:
            stream.set_display_matrix(MATRICES[matrix])
        tones = container.add_stream(sound, 48000) if sound else None
        colours = {f'dst_{name}': context[name] for name in ('colorspace', 'color_range') if name in context}
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format='bgr24').reformat(format=pixels, **colours)
            picture.pts, picture.time_base = times[index] if times else 40 * index, MILLISECONDS
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if tones:
            wave = (8000 * np.sin(np.arange(48000) / 15)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(wave[None], format='s16', layout='mono')
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(tones.encode(samples))
            container.mux(tones.encode(None))
    return path


def read_clip(path, pixels='bgr24', decoder=None):
    """Frames and times in milliseconds, as PyAV alone reads them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        reader = av.CodecContext.create(decoder, 'r') if decoder else stream
        found = [frame for packet in container.demux(stream) for frame in reader.decode(packet)]
        times = [round(1000 * frame.pts * frame.time_base) for frame in found]
        return [frame.to_ndarray(format=pixels) for frame in found], times


def read_packets(path):
    """The bytes of each packet of the sound, with its time in seconds."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [(bytes(packet), float(packet.pts * packet.time_base)) for packet in packets if packet.dts is not None]
