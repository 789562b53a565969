"""The record of each image: what the pipeline did with it. It becomes a line of the manifest."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from solo_bg.disk.formats import VIDEO_SUFFIXES
from solo_bg.errors import ImageError, ran_out_of_memory

FRAME = '#'  # between the name of a video and the number of a frame


@dataclass(frozen=True)
class Record:
    """What the pipeline did with one input: a line of the manifest.

    Attributes:
        input: INPUT joined with the path below it; for a frame of a video followed by `#` and its number.
        status: `ok`, `empty` (no instance was kept), `rejected` (the masks agree too little with the annotations),
            `unlabelled` (the image is not in the annotations), `missing` (the image is in the annotations only; see
            `--strict`) or `error`.
        outputs: style -> path relative to the output folder. A style of several pictures has its index under its own
            name, and each picture under `style/number`.
        instances: number of instances kept.
        classes: class name -> number of instances kept.
        foreground: the foreground's share of the pixels, 0 to 1.
        seconds: time spent on this image: reading, segmenting (its share of the batch), composing and writing.
        error: the reason of an error, else None.
        traceback: the traceback of an unexpected exception, else None.
        iou: IoU of the instances' union with the annotations' union; None without annotations.
        decisions: rule -> ids of the annotations it was applied to. `keep`, `ignore` and `drop`: the masks miss the
            object. `by its box`: there is no segmentation, the box counts. `clipped`: it reaches more than a pixel
            outside the image. `parts skipped`: some of its polygons have fewer than three points. `skipped`: its
            segmentation cannot be used.
        fill: name of the fill that `--mix` drew, else None.
        restored: share of the annotated pixels that `--missed keep` added to the foreground.
        frames: number of frames of a video; None for an image and for a frame.
        note: which part of a video could not be read, else None.
        key: SHA-256 of the input and of everything else that the pictures depend on. While it stays the same, the
            pictures need not be made again.
        carried: for annotations.json, not in the manifest: the entry of the image, and those of its annotations.
        before: whether an earlier run made the pictures; not in the manifest.
    """

    input: str
    status: str
    outputs: dict[str, str] = field(default_factory=dict)
    instances: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    foreground: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    traceback: str | None = None
    iou: float | None = None
    decisions: dict[str, list[Any]] = field(default_factory=dict)
    fill: str | None = None
    restored: float | None = None
    frames: int | None = None
    note: str | None = None
    key: str = ''
    carried: tuple[dict[str, Any], list[dict[str, Any]]] | None = None
    before: bool = False

    def facts(self) -> dict[str, Any]:
        """The line of the manifest, as a dict."""
        facts = asdict(replace(self, carried=None))
        return {name: facts[name] for name in MANIFEST_FIELDS if name not in OPTIONAL_FIELDS or facts[name] is not None}


def input_of(name: str) -> str:
    """The input that a record of this name is about: a frame `clip.mp4#000012` is one of `clip.mp4`."""
    video, _, number = name.rpartition(FRAME)
    return video if number.isdecimal() and video.lower().endswith((*VIDEO_SUFFIXES, ':-')) else name


OPTIONAL_FIELDS = ('traceback', 'fill', 'restored', 'frames', 'note')  # left out of a line where they are None
MANIFEST_FIELDS = [one.name for one in fields(Record) if one.name not in ('carried', 'before')]


def error_record(name: str, error: Exception, seconds: float, key: str = '') -> Record:
    """The record of an input that failed: with the reason, and the traceback if the exception was not expected."""
    where = None
    if isinstance(error, ImageError):
        reason = str(error)
    elif ran_out_of_memory(error):
        reason = f'memory ran out: {error}'
    else:
        reason = f'unexpected {type(error).__name__}: {error}'
        where = ''.join(traceback.format_exception(error))
    return Record(name, 'error', seconds=round(seconds, 4), error=reason, traceback=where, key=key)


class EarlierResults:
    """Records of earlier runs, by input.

    Args:
        run_key: SHA-256 of everything that the pictures depend on, except the input.
        records: input -> record.
    """

    def __init__(self, run_key: str = '', records: Mapping[str, Record] | None = None) -> None:
        self.run_key = run_key
        self.known = records or {}

    def begin(self, name: str, outputs: Mapping[str, str]) -> None:
        """Note that pictures of this input are about to be written. Does nothing here; a journal writes it down."""

    def key(self, data: bytes) -> str:
        """The key of an input that consists of these bytes."""
        return self.key_of(hashlib.sha256(data).hexdigest())

    def key_of(self, digest: str) -> str:
        """The key of an input with this SHA-256."""
        return hashlib.sha256(f'{self.run_key} {digest}'.encode()).hexdigest()

    def find(self, name: str, key: str) -> Record | None:
        """The record of this input, if its key is the same. Errors have no such record."""
        record = self.known.get(name)
        return record if record and record.key == key else None
