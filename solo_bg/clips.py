"""Videos through the pipeline: each frame goes through the stages of `pipeline.py`, and out come videos or pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from solo_bg import pipeline
from solo_bg.coco.dataset import Labels
from solo_bg.disk.inputs import ImageFile
from solo_bg.disk.output_names import output_names
from solo_bg.disk.read import input_digest
from solo_bg.disk.video import Video, open_video
from solo_bg.disk.video_write import VideoWriter, pipe_video, write_video
from solo_bg.errors import ImageError
from solo_bg.frames import AHEAD, FrameJob, load_frame, process
from solo_bg.options import Options
from solo_bg.pipeline import Composed, Job, Loaded, Segmented, failed
from solo_bg.records import FRAME, EarlierResults, Record
from solo_bg.sources.base import Source
from solo_bg.sources.clip import remembers
from solo_bg.workers import ahead, single_threaded_pool

OnFrame = Callable[[str, int, int], object]  # gets a video's name, how many of its frames are done, and how many it has


def run(
    images: Sequence[ImageFile],
    source: Source,
    options: Options,
    labels: Labels | None = None,
    names: Sequence[str] | None = None,
    earlier: EarlierResults | None = None,
    on_frame: OnFrame | None = None,
) -> Iterator[Record]:
    """`pipeline.run` for images and videos: first all images, then one video after another.

    A video has one record, for which `Record.frames` counts its frames. With `options.frames`, each frame that is
    written has a record too, and comes before the video's own, which then names no outputs.

    Args:
        on_frame: is called after each frame of a video; for a progress display.
    """
    named = list(zip(images, names or output_names(images), strict=True))
    if stills := [(image, name) for image, name in named if not image.is_video]:
        files, names = zip(*stills, strict=True)
        yield from pipeline.run(files, source, options, labels, names, earlier)
    for image, name in named:
        if image.is_video:
            yield from run_video(Job(image, name), source, options, earlier, on_frame)


def run_video(
    job: Job, source: Source, options: Options, earlier: EarlierResults | None, on_frame: OnFrame | None = None
) -> Iterator[Record]:
    """Process one video, unless its results exist."""
    start, key = time.perf_counter(), ''
    try:
        if earlier and not job.image.is_pipe:
            key = earlier.key_of(input_digest(job.image.path))
            if made := find_made(earlier, job, key, options):
                yield from made
                return
        with open_video(job.image.path, options.max_pixels) as video:
            if options.frames:
                yield from write_frames(job, key, video, source, options, earlier, on_frame)
            else:
                record = write_videos(job, key, video, source, options, earlier, on_frame)
                yield replace(record, seconds=round(time.perf_counter() - start, 4))
    except Exception as error:
        yield failed(job, key, error, start)


def find_made(earlier: EarlierResults, job: Job, key: str, options: Options) -> list[Record]:
    """The earlier records of a video and its frames, if all of their results exist where they would be written now."""
    record = earlier.find(job.image.shown, key)
    if not record or not record.frames:
        return []
    if not options.frames:
        there = {style: options.video_output(style, job.name) for style in options.styles} == record.outputs
        return [record] if there and all((options.out / path).is_file() for path in record.outputs.values()) else []
    numbers = range(0, record.frames, options.frames)
    frames = [pipeline.find_made(earlier, frame_job(job, number), key, options) for number in numbers]
    return [*filter(None, frames), record] if all(frames) else []


def frame_job(job: Job, number: int) -> Job:
    """The name of a frame in the manifest, and that of its results."""
    image = job.image
    shown = f'{image.shown}{FRAME}{number:06d}'
    return Job(replace(image, path=Path(shown), shown=shown), f'{job.name}/{number:06d}')


def write_frames(
    job: Job,
    key: str,
    video: Video,
    source: Source,
    options: Options,
    earlier: EarlierResults | None,
    on_frame: OnFrame | None,
) -> Iterator[Record]:
    """Write frames as pictures; yield the record of each, then that of the video."""
    step, count, start = options.frames or 1, 0, time.perf_counter()
    alone = options.smooth == 1 and not remembers(source)  # a frame depends on no other

    def chosen() -> Iterator[FrameJob]:
        nonlocal count
        for frame in video.frames():
            count += 1
            if frame.index % step == 0:
                yield FrameJob(**vars(frame_job(job, frame.index)), frame=frame)

    def load(one: FrameJob) -> Loaded | Record:
        made = pipeline.find_made(earlier, one, key, options) if earlier and alone else None
        return made or load_frame(one, key, source)

    def write(item: Segmented | Record) -> Record:
        record = pipeline.write(pipeline.compose(item, options), options, earlier)
        if record.carried and not record.before:
            entry, annotations = record.carried
            number = int(record.input.rpartition(FRAME)[2])
            entry = {**entry, 'video': job.image.shown, 'frame_id': number}
            record = replace(record, carried=(entry, annotations))
        return record

    for record in process(chosen(), source, options, load, write):
        yield record
        if on_frame:
            on_frame(job.image.shown, count, video.stream.frames)
    seconds = round(time.perf_counter() - start, 4)
    yield Record(job.image.shown, 'ok', frames=count, note=video.fault, seconds=seconds, key=key)


def write_videos(
    job: Job,
    key: str,
    video: Video,
    source: Source,
    options: Options,
    earlier: EarlierResults | None,
    on_frame: OnFrame | None,
) -> Record:
    """Write one video for each style, all of them or none. An error in a frame is an error of the video."""
    outputs = {style: options.video_output(style, job.name) for style in options.styles}
    if earlier:
        earlier.begin(job.image.shown, outputs)
    with ExitStack() as files:
        writers = {
            style: files.enter_context(write_video(options.out / path, video, options.crf))
            for style, path in outputs.items()
        }
        totals = encode(job, video, source, options, writers, on_frame)
    return replace(totals.record(job.image.shown), outputs=outputs, note=video.fault, key=key)


def stream(job: Job, source: Source, options: Options, pipe: str, file: IO[bytes]) -> Record:
    """Write one video in the format of a pipe, `y4m:-` or `raw:-`. Raises ImageError as `write_videos`."""
    (style,) = options.styles
    with open_video(job.image.path, options.max_pixels) as video, pipe_video(file, pipe, video) as writer:
        totals = encode(job, video, source, options, {style: writer})
    return replace(totals.record(job.image.shown), note=video.fault)


@dataclass
class Totals:
    """Counts over the frames of a video."""

    frames: int = 0
    foreground: float = 0.0
    classes: Counter[str] = field(default_factory=Counter)
    fill: str | None = None

    def add(self, record: Record) -> None:
        self.frames += 1
        self.foreground += record.foreground
        self.classes.update(record.classes)
        self.fill = record.fill

    def record(self, shown: str) -> Record:
        """Instances are counted in each frame; the foreground's share is the mean over the frames."""
        classes = dict(sorted(self.classes.items()))
        foreground = round(self.foreground / max(self.frames, 1), 6)
        status = 'ok' if classes else 'empty'
        return Record(
            shown,
            status,
            instances=sum(classes.values()),
            classes=classes,
            foreground=foreground,
            fill=self.fill,
            frames=self.frames,
        )


def encode(
    job: Job,
    video: Video,
    source: Source,
    options: Options,
    writers: dict[str, VideoWriter],
    on_frame: OnFrame | None = None,
) -> Totals:
    """Send all frames through the stages to the writers, one for each style. A frame without instances is black.

    Raises:
        ImageError: a frame fails, or cannot be written.
    """
    empty = 'black' if options.on_empty == 'skip' else options.on_empty
    options, totals = replace(options, on_empty=empty, annotate=False, thumbnails=False), Totals()
    frames = (FrameJob(job.image, job.name, frame) for frame in video.frames())

    def add(item: Composed | Record) -> None:
        if isinstance(item, Record):
            raise ImageError(f'frame {totals.frames}: {item.error}')
        assert isinstance(item.job, FrameJob)
        for style, writer in writers.items():
            writer.add(item.pictures[style], item.job.frame)
        totals.add(item.record)

    composed = process(
        frames, source, options, lambda one: load_frame(one, '', source), lambda item: pipeline.compose(item, options)
    )
    with closing(composed), single_threaded_pool(1) as encoder:  # closed before the video is: threads decode from it
        for _ in ahead(encoder, add, composed, AHEAD):
            if on_frame:
                on_frame(job.image.shown, totals.frames, video.stream.frames)
    return totals
