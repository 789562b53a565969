"""Copy the sound of a video into another one while its pictures are written."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_bg.disk.video import load_av

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

RATE = 48000  # samples a second, where sound is encoded anew
COPIED = {'mp4': {'aac', 'mp3', 'ac3', 'eac3', 'opus', 'flac', 'alac'}, 'webm': {'opus', 'vorbis'}}
ENCODERS = {'mp4': 'aac', 'webm': 'libopus'}


class Sound:
    """The sound of a video, every track of it. The file is opened a second time, so memory holds one packet.

    Packets are copied as they are. Where players do not expect the codec in the container (a WebM holds Opus and Vorbis
    only), the sound is encoded anew.

    Args:
        path: the video that is read.
        target: the container that is written, before its first packet: MP4 or WebM.
    """

    def __init__(self, path: Path, target: OutputContainer) -> None:
        self.source = load_av().open(f'file:{path}', 'r', options={'protocol_whitelist': 'file'})
        self.target = target
        self.copied: dict[int, Any] = {}  # index of a track -> the track in the target
        self.encoded: dict[int, Any] = {}
        for stream in self.source.streams.audio:
            if stream.codec_context.codec.canonical_name in COPIED[target.format.name]:
                self.copied[stream.index] = target.add_stream_from_template(stream)
            else:
                self.encoded[stream.index] = target.add_stream(ENCODERS[target.format.name], RATE)
        self.packets = self.read()
        self.waiting: Packet[Any] | None = None

    def read(self) -> Iterator[Packet[Any]]:
        """The packets of all tracks. What is damaged ends them."""
        tracks = self.source.streams.audio
        packets = self.source.demux(*tracks) if tracks else iter(())
        while True:
            try:
                packet = next(packets, None)
            except load_av().FFmpegError:
                packet = None
            if packet is None:
                return
            if packet.dts is not None:
                yield packet

    def copy_until(self, time: Fraction | None) -> None:
        """Copy the packets that begin at `time`, in seconds, at the latest; all that are left for None."""
        while True:
            packet = self.waiting or next(self.packets, None)
            self.waiting = packet
            if packet is None:
                break
            begins = (packet.dts or 0) * packet.time_base  # sound is stored in the order in which it is played
            if time is not None and begins > time:
                return
            self.waiting = None
            self.put(packet)
        if time is None:
            for stream in self.encoded.values():
                self.target.mux(stream.encode(None))

    def put(self, packet: Packet[Any]) -> None:
        index = packet.stream.index
        if index in self.copied:
            packet.stream = self.copied[index]
            self.target.mux(packet)
            return
        try:
            decoded = packet.decode()
        except load_av().FFmpegError:  # a damaged part
            return
        for frame in decoded:
            self.target.mux(self.encoded[index].encode(frame))

    def close(self) -> None:
        self.source.close()
