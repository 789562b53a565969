"""Read the frames of a video, one after another. PyAV, which the extra `video` installs, decodes them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.disk.pipes import demuxer, is_pipe
from solo_bg.errors import ImageError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

MATROSKA_LENGTH = re.compile(r'(\d+):(\d+):(\d+(?:\.\d+)?)')
DEFAULT_RATE = Fraction(25)  # frames a second, where a video does not say


def load_av() -> Any:
    """The module `av`.

    Raises:
        ImageError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ImageError(f'is a video, which needs PyAV ({error}); pip install "solo_bg[video]"') from error
    return av


@dataclass(frozen=True)
class Frame:
    """One frame of a video. Its pixels are converted when they are asked for, in any thread.

    Attributes:
        index: its number in the video, from 0.
        pts: when it is shown, in units of `Video.time_base`; larger than that of the frame before it.
        stored: the frame as it was decoded.
    """

    index: int
    pts: int
    stored: av.VideoFrame

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3), BGR, turned upright by the rotation that the video asks for."""
        pixels = self.stored.to_ndarray(format='bgr24', threads=1)
        return np.ascontiguousarray(np.rot90(pixels, round(self.stored.rotation / 90)), np.uint8)


class Video:
    """A video that is open for reading.

    Attributes:
        path: the file; None for a pipe.
        rate: frames a second, on average.
        time_base: the unit of `Frame.pts`, in seconds.
        fault: which part of the video could not be read, known after the last frame; None if nothing is missing.

    Raises:
        ImageError: there are no pictures in it, or they have more than `max_pixels`.
    """

    def __init__(self, container: InputContainer, path: Path | None, max_pixels: int) -> None:
        self.container, self.path = container, path
        stream: Any = container.streams.best('video')  # not the cover of an album
        if stream is None:
            raise ImageError('holds no pictures that can be decoded')
        self.stream: VideoStream = stream
        self.stream.thread_type = 'AUTO'  # type: ignore[assignment]
        if (pixels := self.stream.width * self.stream.height) > max_pixels:
            size = f'{self.stream.width}x{self.stream.height}'
            raise ImageError(f'is {size}, {pixels} pixels a frame; at most {max_pixels} are read (--max-pixels)')
        self.rate = self.stream.average_rate or self.stream.guessed_rate or DEFAULT_RATE
        self.time_base = self.stream.time_base or 1 / self.rate
        self.fault: str | None = None

    def frames(self) -> Iterator[Frame]:
        """Every frame that can be decoded, in the order in which they are shown.

        A damaged part is skipped. A frame without a time is shown one frame's duration after the one before it.

        Raises:
            ImageError: no frame can be decoded.
        """
        step = max(round(1 / self.rate / self.time_base), 1)
        last, count, longest, end = -step, 0, step, 0
        faults: list[str] = []
        for stored in self.decode(faults):
            pts = last + step if stored.pts is None else stored.pts
            pts = pts if not count else max(pts, last + 1)
            yield Frame(count, pts, stored)
            longest = max(longest, pts - last) if count else longest
            last, count, end = pts, count + 1, pts + (stored.duration or step)
        if not count:
            reason = faults[0] if faults else 'it holds none'
            raise ImageError(f'is a video of which no frame can be decoded ({reason})')
        self.fault = self.describe_fault(count, end, longest, faults)

    def decode(self, faults: list[str]) -> Iterator[av.VideoFrame]:
        """Decoded frames; the reason of each part that cannot be read is added to `faults`."""
        av = load_av()
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:  # nothing more can be read: the decoder still holds some frames
                faults.append(error.strerror or str(error))
                packets, packet = iter(()), None
                yield from self.drain(faults)
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                faults.append(error.strerror or str(error))

    def drain(self, faults: list[str]) -> list[av.VideoFrame]:
        """The frames that the decoder still holds."""
        try:
            return self.stream.decode(None)
        except load_av().FFmpegError as error:
            faults.append(error.strerror or str(error))
            return []

    def describe_fault(self, count: int, end: int, longest: int, faults: list[str]) -> str | None:
        """What is missing, by the errors of the decoder and by the length that the file states; None if nothing is.

        Args:
            end: when the last frame ends, and `longest` the longest time between two frames, in units of `time_base`.
        """
        length = (end - (self.stream.start_time or 0)) * self.time_base
        missing = self.stated_length() - length
        if not faults and missing <= 2 * longest * self.time_base:
            return None
        stated = f' of {self.stream.frames}' if self.stream.frames > count else ''
        reasons = dict.fromkeys(faults) or [f'the file ends {float(missing):.2f} s early']
        return f'is damaged ({"; ".join(reasons)}): {count}{stated} frames could be read'

    def stated_length(self) -> Fraction:
        """Seconds that the pictures last, as the file says; 0 if it does not say."""
        if self.stream.duration:
            return self.stream.duration * self.time_base
        if tag := MATROSKA_LENGTH.fullmatch(self.stream.metadata.get('DURATION', '')):
            hours, minutes, seconds = map(Fraction, tag.groups())
            return 3600 * hours + 60 * minutes + seconds
        alone = len(self.container.streams) == 1
        return Fraction(self.container.duration or 0, 1_000_000) if alone else Fraction(0)


@contextmanager
def open_video(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Video]:
    """Open a video file, or the pipe that `path` names.

    Raises:
        ImageError: PyAV is missing, or the file is no video that can be decoded.
    """
    av = load_av()
    piped = is_pipe(str(path))
    try:
        if piped:
            name, options = demuxer(str(path))
            container = av.open(sys.stdin.buffer, 'r', format=name, options=options)
        else:
            only_this_file = {'protocol_whitelist': 'file'}  # a playlist could name others
            container = av.open(f'file:{path}', 'r', options=only_this_file, metadata_errors='replace')
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ImageError(f'cannot be read as a video: {reason}') from error
    with container:
        yield Video(container, None if piped else path, max_pixels)
