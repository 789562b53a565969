"""Write pictures as a video, one after another, with the times, the colours and the sound of the video they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from solo_bg.disk.formats import CRF
from solo_bg.disk.sound import COPIED, Sound
from solo_bg.disk.video import Frame, Video, load_av
from solo_bg.disk.write import open_atomically
from solo_bg.errors import ImageError

VP9_CRF_OFFSET = 12  # VP9's scale goes to 63; about as good as H.264 whose value is lower by this
# FFmpeg's numbers. Only these matrices are understood by its converter, which numbers SMPTE 170M as BT.601
BT709, RGB, UNSPECIFIED, LIMITED = 1, 0, 2, 1
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


@dataclass(frozen=True)
class Coding:
    """How pictures become a video: FFmpeg's names of container, codec and pixel format, and the codec's options."""

    container: str
    codec: str
    pixels: str
    options: dict[str, str] = field(default_factory=dict)


def choose_coding(suffix: str, picture: NDArray[Any], crf: int) -> Coding:
    """The coding of pictures like this one.

    Args:
        suffix: `.mp4`, `.webm` or `.mkv`; `y4m` or `raw` for a pipe.
        picture: uint8 (H, W, 3) BGR or (H, W, 4) BGRA, or uint16 (H, W).
        crf: quality of H.264, from 0 (lossless) to 51.
    """
    if suffix == 'y4m':
        return Coding('yuv4mpegpipe', 'wrapped_avframe', 'yuv444p')
    if suffix == 'raw':
        return Coding('rawvideo', 'rawvideo', 'rgba' if picture.shape[2:] == (4,) else 'rgb24')
    if suffix == '.mkv':
        return Coding('matroska', 'ffv1', 'gray16le')
    if suffix == '.webm':
        quality = {'crf': str(min(crf + VP9_CRF_OFFSET, 63))} if crf else {'lossless': '1'}
        return Coding('webm', 'libvpx-vp9', 'yuva420p', {**quality, 'cpu-used': '4', 'row-mt': '1'})
    if crf == 0:
        return Coding('mp4', 'libx264rgb', 'bgr24', {'qp': '0'})
    is_even = picture.shape[0] % 2 == 0 and picture.shape[1] % 2 == 0
    return Coding('mp4', 'libx264', 'yuv420p' if is_even else 'yuv444p', {'crf': str(crf)})


class VideoWriter:
    """A video that grows picture by picture. The first picture decides about size and coding.

    Args:
        file: where it goes.
        suffix, crf: see `choose_coding`.
        video: the video that the pictures are of.
    """

    def __init__(self, file: IO[bytes], suffix: str, video: Video, crf: int = CRF) -> None:
        self.file, self.suffix, self.video, self.crf = file, suffix, video, crf
        self.container: Any = None
        self.sound: Sound | None = None

    def add(self, picture: NDArray[Any], frame: Frame) -> None:
        """Add a picture: uint8 (H, W, 3) BGR, (H, W, 4) BGRA or (H, W), or uint16 (H, W). `frame` says when.

        Raises:
            ImageError: the codec cannot hold it.
        """
        av = load_av()
        if picture.ndim == 2 and picture.dtype == np.uint8:
            picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        try:
            if self.container is None:
                self.begin(picture, frame)
            given = {3: 'bgr24', 4: 'bgra', 1: 'gray16le'}[picture.shape[2] if picture.ndim == 3 else 1]
            stored = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=given)
            stored = stored.reformat(
                self.stream.width,
                self.stream.height,
                self.coding.pixels,
                dst_colorspace=self.matrix,
                dst_color_range=self.range,
                threads=1,
            )
            stored.pts, stored.time_base = frame.pts, self.video.time_base
            if self.coding.container in ('yuv4mpegpipe', 'rawvideo'):  # formats without times
                stored.pts, stored.time_base = frame.index, 1 / self.video.rate
            self.container.mux(self.stream.encode(stored))
            if self.sound:
                self.sound.copy_until(frame.pts * self.video.time_base)
        except (av.FFmpegError, ValueError) as error:
            raise ImageError(f'cannot be written as a {self.suffix} video: {error}') from error

    def begin(self, picture: NDArray[Any], frame: Frame) -> None:
        """Open the container for pictures like this one."""
        av = load_av()
        self.coding = choose_coding(self.suffix, picture, self.crf)
        self.container = av.open(self.file, 'w', format=self.coding.container)
        piped = self.coding.container in ('yuv4mpegpipe', 'rawvideo')
        self.stream = self.container.add_stream(
            self.coding.codec,
            self.video.rate,
            self.coding.options,
            width=picture.shape[1],
            height=picture.shape[0],
            pix_fmt=self.coding.pixels,
            time_base=1 / self.video.rate if piped else self.video.time_base,
        )
        self.set_colours(frame)
        if aspect := self.video.stream.sample_aspect_ratio:
            turned = round(frame.stored.rotation / 90) % 2
            self.stream.codec_context.sample_aspect_ratio = 1 / aspect if turned else aspect
        if self.video.path and self.coding.container in COPIED:
            self.sound = Sound(self.video.path, self.container)

    def set_colours(self, frame: Frame) -> None:
        """Keep the matrix and the range of the frame's colours, and say so in the file."""
        given = frame.stored
        from_rgb = 'rgb' in given.format.name or 'bgr' in given.format.name or given.colorspace == RGB
        space = BT709 if from_rgb else given.colorspace
        self.matrix: int | None = MATRICES.get(space)
        self.range: int | None = LIMITED if from_rgb else given.color_range or LIMITED
        if not self.coding.pixels.startswith('yuv'):
            self.matrix = self.range = None
            return
        context = self.stream.codec_context
        context.colorspace = space if self.matrix else UNSPECIFIED
        context.color_range = self.range if from_rgb else given.color_range
        context.color_primaries, context.color_trc = given.color_primaries, given.color_trc

    def close(self) -> None:
        """Write what the codec still holds, the rest of the sound, and the end of the file."""
        if self.container is None:
            return
        av = load_av()
        try:
            self.container.mux(self.stream.encode(None))
            if self.sound:
                self.sound.copy_until(None)
            self.container.close()
        except (av.FFmpegError, ValueError) as error:
            raise ImageError(f'cannot be written as a {self.suffix} video: {error}') from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the source of the sound."""
        if self.sound:
            self.sound.close()
            self.sound = None


@contextmanager
def write_video(path: Path, video: Video, crf: int = CRF) -> Iterator[VideoWriter]:
    """A video to add pictures to, which appears at `path` whole when the block ends.

    Raises:
        ImageError: it cannot be written. Nothing is left behind, and what was at `path` stays.
    """
    with open_atomically(path) as file:
        writer = VideoWriter(file, path.suffix, video, crf)
        try:
            yield writer
            writer.close()
        finally:
            writer.abandon()


@contextmanager
def pipe_video(file: IO[bytes], name: str, video: Video) -> Iterator[VideoWriter]:
    """A video to add pictures to, which goes to an open file in the format of `y4m:-` or `raw:-`."""
    writer = VideoWriter(file, name.partition(':')[0], video)
    yield writer
    writer.close()
    file.flush()
