"""What the command prints: the plan, the progress, the summary, and the reasons of failures."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.runs.report.files import PAGE

if TYPE_CHECKING:
    from solo_bg.disk.inputs import ImageFile
    from solo_bg.options import Options
    from solo_bg.records import Record
    from solo_bg.runs.plan import Plan
    from solo_bg.runs.sample import Expected
    from solo_bg.runs.settings import Settings

REASONS_SHOWN = 5
ALWAYS_SHOWN = ('done', 'empty', 'failed')  # columns of the summary that are shown even if they are 0
BYTES_A_PIXEL = {  # benchmarks/run.py disk, on 100 photographs of COCO, a third of whose pixels are foreground
    'eliminated': {'.png': 0.72, '.jpg': 0.22, '.webp': 0.52},
    'overlay': {'.png': 0.61, '.jpg': 0.18, '.webp': 0.43},
    'mask': {'.png': 0.01},
    'labels': {'.png': 0.02},
    'cutout': {'.png': 2.24, '.webp': 1.42},
    'instances': {'.png': 1.51, '.webp': 0.96},
    'crops': {'.png': 0.34, '.jpg': 0.14, '.webp': 0.20},
}


class Tally:
    """Counts over records. The records themselves are not kept."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.decided: Counter[str] = Counter()
        self.instances = self.before = 0
        self.reasons: list[str] = []
        self.notes: list[str] = []

    @property
    def failed(self) -> int:
        return self.statuses['error'] + self.statuses['missing']

    def add(self, record: Record) -> None:
        if record.note:
            self.notes.append(f'{record.input} {record.note}')
        if record.frames is not None and record.status != 'error' and not record.outputs:
            return  # its frames have records of their own
        self.statuses[record.status] += 1
        self.before += record.before
        if record.outputs:
            self.instances += record.instances
            self.decided.update({rule: len(ids) for rule, ids in record.decisions.items()})
        if record.error and len(self.reasons) < REASONS_SHOWN:
            self.reasons.append(f'{record.input}: {record.error}')


def show_plan(images: Sequence[ImageFile], options: Options) -> None:
    """`--dry-run`: print what would be written, and estimate its size."""
    from solo_bg.disk.output_names import output_names
    from solo_bg.disk.read import image_size

    for image, name in list(zip(images, output_names(images), strict=True))[:10]:
        if image.is_video and options.frames:
            outputs = ', '.join(options.output(style, f'{name}/000000') for style in options.styles) + ', ...'
        elif image.is_video:
            outputs = ', '.join(options.video_output(style, name) for style in options.styles)
        else:
            outputs = ', '.join(options.output(style, name) for style in options.styles)
        print(in_one_line(f'{image.shown} -> {outputs}'))
    if len(images) > 10:
        print(f'... and {len(images) - 10} more')
    videos = [image for image in images if image.is_video]
    images = [image for image in images if not image.is_video]
    sizes = [image_size(image.path) for image in images]
    pixels = sum(width * height for width, height in filter(None, sizes))
    estimate = sum(pixels * BYTES_A_PIXEL[style][f'.{options.suffix(style)}'] for style in options.styles)
    if videos:
        print(f'{len(videos)} {"video" if len(videos) == 1 else "videos"}, not counted in the estimate')
    if images or not videos:
        print(f'{len(images)} images ({sizes.count(None)} unreadable), {pixels / 1e6:.1f} million pixels')
        print(f'about {estimate / 1e6:.1f} MB in {options.out}, if a third of each image is foreground')


def show_sample(expected: Expected, out: Path) -> None:
    """Print what a sample says about the whole run."""
    size, minutes = f'{expected.bytes / 1e6:.1f} MB', f'{expected.seconds / 60:.1f} minutes'
    print(f'{expected.all} images like the first {expected.images} will take about {size} and {minutes}')
    print(f'report of these {expected.images} in {out / PAGE}')


def progress(records: Iterable[Record], total: int, quiet: bool) -> Iterator[Record]:
    """Pass the records on, and show progress: a bar on a terminal, otherwise a line every ten seconds.

    `total`: how many there will be; 0 if that is not known.
    """
    if quiet:
        yield from records
    elif sys.stderr.isatty():
        yield from show_bar(records, total)
    else:
        yield from show_lines(records, total)


def show_bar(records: Iterable[Record], total: int) -> Iterator[Record]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn('{task.fields[rate]:.1f} images/s')
    columns = BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task, start = bar.add_task('', total=total or None, rate=0.0), time.perf_counter()
        for number, record in enumerate(records, 1):
            bar.update(task, completed=number, rate=number / (time.perf_counter() - start))
            yield record


def show_lines(records: Iterable[Record], total: int, every: float = 10.0) -> Iterator[Record]:
    start = shown = time.perf_counter()
    for number, record in enumerate(records, 1):
        now = time.perf_counter()
        if now - shown > every or number == total:
            shown = now
            of_all = f'/{total}' if total else ''
            print(f'{number}{of_all} images, {number / (now - start):.1f} images/s', file=sys.stderr, flush=True)
        yield record


class FrameLines:
    """Prints how far a video is, every ten seconds."""

    def __init__(self, every: float = 10.0) -> None:
        self.every, self.video = every, ''
        self.start = self.shown = 0.0

    def __call__(self, video: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if video != self.video:
            self.video, self.start, self.shown = video, now, now
        if now - self.shown > self.every:
            self.shown = now
            rate, of_all = done / (now - self.start), f'/{total}' if total else ''
            print(f'{in_one_line(video)}: {done}{of_all} frames, {rate:.1f} frames/s', file=sys.stderr, flush=True)


def show_summary(tally: Tally, out: Path) -> None:
    """Print how many images are done, empty and failed, what was decided about annotations, and where results are."""
    from rich.console import Console
    from rich.table import Table

    counted = tally.statuses
    columns = {'done': 'ok', 'empty': 'empty', 'rejected': 'rejected', 'unlabelled': 'unlabelled', 'missing': 'missing'}
    columns['failed'] = 'error'
    shown = {title: counted[status] for title, status in columns.items() if counted[status] or title in ALWAYS_SHOWN}
    shown |= {'done before': tally.before} if tally.before else {}
    shown |= {'instances': tally.instances}
    shown |= {f'annotations: {rule}': count for rule, count in tally.decided.items()}
    table = Table(*shown)
    table.add_row(*map(str, shown.values()))
    Console().print(table)
    print(f'results in {out}')


def show_missing(plan: Plan, settings: Settings) -> None:
    """Print how many images of the annotations are not among the inputs, unless each of them is an error."""
    if plan.missing and not settings.strict:
        print(f'{plan.missing} images of {settings.ann} are not in INPUT; --strict makes them errors')


def show_merged(statuses: Mapping[str, int], unfinished: Sequence[str]) -> None:
    """Print the shards that have not ended, and the number of inputs by status."""
    for name in unfinished:
        print(f'eliminate_bg: {name} has not ended; run it with --resume, then merge again', file=sys.stderr)
    print(', '.join(f'{count} {status}' for status, count in sorted(statuses.items())))


def show_failures(tally: Tally) -> None:
    """Print which parts of videos could not be read, and the first few failures."""
    for note in tally.notes[:REASONS_SHOWN]:
        print(f'eliminate_bg: warning: {in_one_line(note)}', file=sys.stderr)
    if len(tally.notes) > REASONS_SHOWN:
        more = len(tally.notes) - REASONS_SHOWN
        print(f'eliminate_bg: warning: {more} more videos are damaged; the manifest has all', file=sys.stderr)
    for reason in tally.reasons:
        print(f'eliminate_bg: {in_one_line(reason)}', file=sys.stderr)
    if tally.failed > len(tally.reasons):
        print(f'eliminate_bg: and {tally.failed - len(tally.reasons)} more; the manifest has all', file=sys.stderr)


def in_one_line(text: str) -> str:
    """Escape characters that are not printable: file names may contain newlines and terminal escapes."""
    return ''.join(letter if letter.isprintable() else letter.encode('unicode_escape').decode() for letter in text)
