"""Frames that come from standard input or go to standard output, as `ffmpeg` pipes them.

`y4m:-` is YUV4MPEG2, whose header says size and rate. `raw:WIDTHxHEIGHT@RATE:-` is a sequence of frames of 8-bit RGB
without a header; as a destination `raw:-` is enough. A plain `-` is a list of paths.
"""

from __future__ import annotations

import re

Y4M = 'y4m:-'
RAW = 'raw:-'
OUTPUT_PIPES = (Y4M, RAW)
RAW_INPUT = re.compile(r'raw:(\d+)x(\d+)@(\d+(?:[./]\d+)?):-')


def is_pipe(given: str) -> bool:
    """Whether an INPUT names frames from standard input. A raw one without a size is one, and cannot be read."""
    return given in OUTPUT_PIPES or RAW_INPUT.fullmatch(given) is not None


def demuxer(given: str) -> tuple[str, dict[str, str]]:
    """FFmpeg's name of the format of a pipe, and its options.

    Raises:
        ValueError: the size of raw frames is missing.
    """
    if given == Y4M:
        return 'yuv4mpegpipe', {}
    raw = RAW_INPUT.fullmatch(given)
    if not raw:
        raise ValueError('does not say the size of the frames; expected raw:WIDTHxHEIGHT@RATE:-, as raw:1920x1080@25:-')
    width, height, rate = raw.groups()
    return 'rawvideo', {'video_size': f'{width}x{height}', 'pixel_format': 'rgb24', 'framerate': rate}
