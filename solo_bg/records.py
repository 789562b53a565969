"""What became of each image, and what earlier runs made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Record:
    """What became of one input: a line of the manifest.

    Attributes:
        input: INPUT joined with the path below it.
        status: `ok`, `empty` (no instance was kept), `rejected` (it agrees too little with its annotations),
            `unlabelled` (it is not in the annotations), `missing` (it is in the annotations only) or `error`.
        outputs: style -> path relative to OUT.
        instances: number of instances kept.
        classes: class name -> number of instances kept.
        foreground: the foreground's share of the pixels, 0 to 1.
        seconds: spent on this image in reading, segmenting (its share of the batch), composing and writing.
        error: why it failed, else None.
        traceback: where an unexpected exception came from, else None.
        iou: IoU of the instances' union with the annotations' union; None without annotations.
        decisions: rule -> ids of the annotations it was applied to. `keep`, `ignore` and `drop`: the masks miss the
            object. `by its box`: there is no segmentation, the box counts. `clipped`: it reaches more than a pixel
            outside the image. `parts skipped`: some of its polygons have fewer than three points. `skipped`: its
            segmentation cannot be used.
        fill: the fill that was drawn, if `--mix` drew one.
        restored: share of the annotated pixels that `--missed keep` added to the foreground.
        key: SHA-256 of the input and of all that the pictures depend on: while it stays, they need not be made again.
        carried: for annotations.json, not in the manifest: the image's entry and its annotations' entries.
        before: made by an earlier run; not in the manifest.
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
    key: str = ''
    carried: tuple[dict[str, Any], list[dict[str, Any]]] | None = None
    before: bool = False

    def facts(self) -> dict[str, Any]:
        """The line of the manifest."""
        facts = asdict(replace(self, carried=None))
        return {name: facts[name] for name in MANIFEST_FIELDS if name not in RARE or facts[name] is not None}


RARE = ('traceback', 'fill', 'restored')  # in a line only where they say something
MANIFEST_FIELDS = [one.name for one in fields(Record) if one.name not in ('carried', 'before')]


class EarlierResults:
    """What earlier runs made: input -> record.

    Args:
        run_key: SHA-256 of everything but the input that the pictures depend on.
    """

    def __init__(self, run_key: str = '', records: Mapping[str, Record] | None = None) -> None:
        self.run_key = run_key
        self.known = records or {}

    def begin(self, name: str, outputs: Mapping[str, str]) -> None:
        """Note that pictures of this input are about to be written."""

    def key(self, data: bytes) -> str:
        """The key of an input that consists of these bytes."""
        return hashlib.sha256(f'{self.run_key} {hashlib.sha256(data).hexdigest()}'.encode()).hexdigest()

    def find(self, name: str, key: str) -> Record | None:
        """What was made of this input, if it was made in the same way and did not fail."""
        record = self.known.get(name)
        return record if record and record.key == key else None
