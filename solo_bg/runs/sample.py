"""`--dry-run` with `--limit` and `--report`: process a sample, keep nothing but its report, and estimate the run."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solo_bg.disk.output_names import THUMBNAILS, output_names
from solo_bg.disk.read import image_size
from solo_bg.errors import SetupError
from solo_bg.records import Record
from solo_bg.runs import outfolder
from solo_bg.runs.journal import MANIFEST, RUN, journals
from solo_bg.runs.plan import Plan
from solo_bg.runs.report import files
from solo_bg.runs.report.write import write_report
from solo_bg.runs.run import execute
from solo_bg.runs.run_files import read_run
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import WHOLE


@dataclass
class Expected:
    """What the whole run is expected to take, judging by the sample.

    Attributes:
        images, all: number of images in the sample, and in the whole run.
        bytes: disk space, in proportion to the pixels of the images.
        seconds: time on this machine, in proportion to the number of images; without the time to load the model.
    """

    images: int = 0
    all: int = 0
    bytes: int = 0
    seconds: float = 0.0


def draw_sample(settings: Settings, plan: Plan, expected: Expected) -> Iterator[Record]:
    """Process the images of the plan in a folder that is deleted, and write their report to the output folder.

    Args:
        settings: with a limit, which is the size of the sample.
        plan: what `make_plan` makes of the settings without that limit.
        expected: is filled in when the last record has been taken.

    Raises:
        SetupError: as in `execute`; or the output folder holds results, whose report this one would replace.
    """
    out = settings.out
    with outfolder.claim(out):
        if there := journals(out):
            raise SetupError(
                f'{there[0]} is there already, and a sample would replace its report; choose another --out'
            )
        files.refuse_foreign_page(out)
        with temporary_folder(out) as folder:
            inner = replace(settings, out=folder, resume=False, overwrite=False, shard=WHOLE)
            images = plan.images[: settings.limit]
            part = replace(plan, images=images, names=output_names(images))
            started = 0.0
            for record in execute(inner, part):
                started = started or time.perf_counter() - record.seconds  # the model has been loaded by then
                yield record
            estimate(expected, part, plan, folder, time.perf_counter() - started)
            files.remove_report(out)
            move(folder / THUMBNAILS, out / THUMBNAILS)
            with (folder / MANIFEST).open('rb') as lines:
                write_report(out, read_run(folder / RUN), lines, vars(expected))


@contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """A folder on the file system of the output folder, which has room for the results."""
    folder = Path(tempfile.mkdtemp(prefix='sample-', dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move(source: Path, target: Path) -> None:
    """Move a file or a folder, whose files join those of a folder that is there already."""
    if not source.is_dir():
        if source.exists():
            source.replace(target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        move(path, target / path.name)


def estimate(expected: Expected, part: Plan, plan: Plan, folder: Path, seconds: float) -> None:
    """Fill in `expected`, from what the part of the plan took in `folder`."""
    fixed = (folder / RUN, folder / files.PAGE)  # files that do not grow with the run
    size = sum(path.stat().st_size for path in folder.rglob('*') if path.is_file() and path not in fixed)
    expected.images, expected.all = len(part.images), len(plan.images)
    expected.bytes = round(size * count_pixels(plan) / max(count_pixels(part), 1))
    expected.seconds = round(seconds * expected.all / expected.images, 1)


def count_pixels(plan: Plan) -> int:
    """Number of pixels of all images that can be read, from their headers."""
    sizes: list[Any] = [image_size(image.path) for image in plan.images]
    return sum(width * height for width, height in filter(None, sizes))
