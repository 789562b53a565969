"""Write the report of a run: OUT/report.html and the files that it loads. It opens from disk, without a server.

The manifest is read line by line, and the records are written in chunks, so that memory does not grow with the run.
A page that was opened from disk may load scripts, but not data: each chunk is a script that calls `addRecords`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from solo_bg.disk.output_names import thumbnail_path
from solo_bg.disk.write import write_bytes
from solo_bg.runs.journal import ANNOTATIONS, LABELS, MANIFEST, RUN
from solo_bg.runs.report.files import MARK, PAGE, chunk_path, remove_chunks, remove_report, remove_thumbnails
from solo_bg.runs.report.summary import MEASURED, STATUSES, Summary, shown_outputs

ROWS = 2000  # records in a chunk; the first chunk is in the page
SCRIPTS = ('text.js', 'overview.js', 'gallery.js', 'viewer.js')
RUN_FACTS = (
    *('command', 'folder', 'config', 'checkpoint', 'versions', 'device', 'devices', 'threads', 'workers', 'host'),
    *('start', 'end', 'inputs', 'missing'),
)


def write_report(
    out: Path, run: Mapping[str, Any], lines: Iterable[bytes], sample: Mapping[str, Any] | None = None
) -> None:
    """Write the report, or delete that of an earlier run if `run` wants none. The page is replaced last.

    Args:
        out: the output folder. If the run has ended, the thumbnails that belong to no line are deleted.
        run: the contents of run.json, see `provenance.describe`; its `report` says which kind. Where `end` is None,
            the page says that the run has not ended.
        lines: of the manifest, sorted.
        sample: of a dry run: what the whole run is expected to take, see `solo_bg.runs.sample`. The pictures of a
            sample are gone, so that the page has no links to them.

    Raises:
        ImageError: a file cannot be written or deleted.
    """
    kind = run.get('report', 'none')
    if kind == 'none':
        remove_report(out)
        return
    rows = Rows(out, with_thumbnails=kind == 'full', with_outputs=sample is None)
    for line in lines:
        rows.add(json.loads(line))
    rows.flush()
    data = {
        'kind': kind,
        'run': {name: run[name] for name in RUN_FACTS if name in run} | describe_source(run),
        'inputs': link_to_folder(out, run.get('folder')),
        'summary': rows.summary.facts(),
        'files': [] if sample else list_own_files(out),
        'sample': sample,
        'statuses': STATUSES,
        'chunks': [chunk_path(number) for number in range(2, rows.chunks + 1)],
        'rows': rows.first,
    }
    write_bytes(out / PAGE, make_page(data))
    remove_chunks(out, rows.chunks)
    if run.get('end'):  # else the thumbnails of images whose records were not written yet stay
        remove_thumbnails(out, rows.thumbnails)


class Rows:
    """Collects records as rows of the page, and writes every chunk of them but the first.

    A row has, in this order: the input; the index of its status in STATUSES, or the status if it is none of them; the
    share of foreground or null; the number of instances; the index of each class and its number of instances, flat; the
    seconds; the thumbnail's path below `report/thumbs` or 0; style -> path of the picture, or null if it was not kept;
    the error or 0; and further facts as a dict or 0.
    """

    def __init__(self, out: Path, with_thumbnails: bool, with_outputs: bool) -> None:
        self.out, self.with_thumbnails, self.with_outputs = out, with_thumbnails, with_outputs
        self.summary = Summary()
        self.thumbnails: set[str] = set()
        self.first: list[Any] = []
        self.chunks = 0
        self._waiting: list[Any] = []
        self._classes: dict[str, int] = {}  # in the order of the summary

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add a line of the manifest."""
        if len(self._waiting) == ROWS:
            self.flush()
        self.summary.add(facts)
        status, measured = facts['status'], facts['status'] in MEASURED
        counted = facts['classes'].items() if measured else ()
        classes = [
            number for name, count in counted for number in (self._classes.setdefault(name, len(self._classes)), count)
        ]
        more = {name: facts[name] for name in ('iou', 'fill', 'restored') if facts.get(name) is not None}
        more |= (
            {'decisions': {rule: len(ids) for rule, ids in facts['decisions'].items()}} if facts['decisions'] else {}
        )
        self._waiting.append(
            [
                facts['input'],
                STATUSES.index(status) if status in STATUSES else status,
                facts['foreground'] if measured else None,
                facts['instances'],
                classes,
                facts['seconds'],
                self._thumbnail(facts['input']) if measured else 0,
                shown_outputs(facts) if self.with_outputs else dict.fromkeys(shown_outputs(facts)),
                facts['error'] or 0,
                more or 0,
            ]
        )

    def _thumbnail(self, name: str) -> str | int:
        path = thumbnail_path(name)
        if not self.with_thumbnails or not os.path.isfile(self.out / path):
            return 0
        self.thumbnails.add(path)
        return path.split('/', 2)[2]

    def flush(self) -> None:
        """Write the rows that wait."""
        self.chunks += 1
        if self.chunks == 1:
            self.first = self._waiting
        else:
            text = f'addRecords({self.chunks}, {compact(self._waiting)});\n'
            write_bytes(self.out / chunk_path(self.chunks), text.encode())
        self._waiting = []


def list_own_files(out: Path) -> list[str]:
    """Names of the files beside the page that describe the results; run.json is written after it."""
    return [name for name in (MANIFEST, RUN, ANNOTATIONS, LABELS) if name == RUN or (out / name).is_file()]


def describe_source(run: Mapping[str, Any]) -> dict[str, Any]:
    """The mask source, the options and the fills of a run, from its `depends`."""
    depends = run.get('depends', {})
    fills = [[describe_fill(fill), weight] for fill, weight in depends.get('fill') or ()]
    return {'source': depends.get('source'), 'options': depends.get('options'), 'fills': fills}


def describe_fill(fill: Any) -> str:
    """A fill as a word or two: `provenance` lists every file of a folder."""
    if isinstance(fill, str):
        return fill
    if fill and isinstance(fill[0], list):
        return f'{len(fill)} pictures of a folder'
    return f'blue, green, red = {", ".join(map(str, fill))}'


def link_to_folder(out: Path, folder: str | None) -> str | None:
    """The path from the output folder to the one that the inputs' names start from; None if that is not known."""
    if not folder:
        return None
    try:
        return Path(os.path.relpath(folder, os.path.realpath(out))).as_posix()
    except ValueError:  # Windows: they are on different drives
        return Path(folder).as_posix()


def make_page(data: Mapping[str, Any]) -> bytes:
    """The page, with its style, its scripts and the data inside.

    The browser runs no script but this one and the chunks, and loads nothing from other hosts.
    """
    parts = files('solo_bg.runs.report') / 'page'
    style = (parts / 'style.css').read_text(encoding='utf-8')
    script = ''.join((parts / name).read_text(encoding='utf-8') for name in SCRIPTS)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file: data:; "
        f"style-src '{checksum(style)}'; script-src '{checksum(script)}' 'self' file:"
    )
    page = (parts / 'page.html').read_text(encoding='utf-8')
    before, rest = page.split('{{policy}}')
    between, rest = rest.split('{{style}}')
    body, rest = rest.split('{{data}}')
    last, after = rest.split('{{script}}')
    text = compact(data).replace('<', r'\u003c')  # so that no name ends the script
    return MARK + ''.join([before, policy, between, style, body, text, last, script, after]).encode()


def checksum(text: str) -> str:
    """The hash of an inline script or style, as a content security policy takes it."""
    return f'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'


def compact(data: Any) -> str:
    """JSON in ASCII, without spaces. Bytes of file names that are no text stay lone surrogates."""
    return json.dumps(data, separators=(',', ':'))
