"""The manifest: what became of each input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from solo_bg.files import write_bytes

MANIFEST = 'manifest.jsonl'
RUN = 'run.json'
ANNOTATIONS = 'annotations.json'


@dataclass(frozen=True)
class Record:
    """A line of the manifest.

    Attributes:
        input: INPUT joined with the path below it.
        status: `ok`, `empty` (no instance was kept), `rejected` (it agrees too little with its annotations),
            `unlabelled` (it is not in the annotations), `missing` (it is there, but no such image) or `error`.
        outputs: style -> path relative to OUT.
        instances: how many were kept.
        classes: class name -> how many were kept.
        foreground: the union's share of the pixels, 0 to 1.
        seconds: spent on this image in reading, segmenting (its share of the batch), composing and writing.
        error: why it failed, else None.
        iou: of what was found with what is annotated; None without annotations.
        decisions: what was done with annotations that the masks miss: rule -> ids; `by its box`: those that have no
            segmentation.
        carried: for annotations.json, not in the manifest: the image's entry and its annotations'.
    """

    input: str
    status: str
    outputs: dict[str, str] = field(default_factory=dict)
    instances: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    foreground: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    iou: float | None = None
    decisions: dict[str, list[Any]] = field(default_factory=dict)
    carried: tuple[dict[str, Any], list[dict[str, Any]]] | None = None

    def line(self) -> str:
        """The manifest's line."""
        facts = asdict(replace(self, carried=None))
        del facts['carried']
        return json.dumps(facts) + '\n'


def write_manifest(out: Path, records: Iterable[Record]) -> None:
    """Write OUT/manifest.jsonl, a line an input, sorted by `input`."""
    lines = [record.line() for record in sorted(records, key=lambda record: record.input)]
    write_bytes(out / MANIFEST, ''.join(lines).encode())


def write_run(out: Path, facts: Mapping[str, Any]) -> None:
    """Write OUT/run.json: how the results were made, as far as it can change them."""
    write_bytes(out / RUN, (json.dumps(facts, indent=2) + '\n').encode())


def write_annotations(out: Path, coco: Mapping[str, Any]) -> None:
    """Write OUT/annotations.json, a COCO data set for OUT/eliminated."""
    write_bytes(out / ANNOTATIONS, json.dumps(coco).encode())
