"""The files of a report in the output folder: their names, and which of them may be deleted.

    OUT/report.html                          the page, with the summary and the first records
    OUT/report/records-0002.js ...           the other records, which the page loads as scripts
    OUT/report/thumbs/HH/HHHHHHHHHHHHHHHH.jpg  a thumbnail for each image that went through the model

Files by other names are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from solo_bg.disk.output_names import THUMBNAILS
from solo_bg.errors import ImageError, SetupError

PAGE = 'report.html'
FOLDER = 'report'
MARK = b'<!doctype html>\n<!-- written by solo_bg -->\n'  # how each page begins
CHUNK = re.compile(r'records-\d{4,}\.js')
THUMBNAIL = re.compile(r'[0-9a-f]{16}\.jpg')
TEMPORARY = '.*.tmp'


def chunk_path(number: int) -> str:
    """Where the records of a chunk lie, relative to the output folder; chunks count from 1, and 1 is in the page."""
    return f'{FOLDER}/records-{number:04d}.js'


def refuse_foreign_page(out: Path) -> None:
    """Raise SetupError if there is a report.html that no run has written."""
    path = out / PAGE
    if path.exists() and not is_our_page(path):
        raise SetupError(f'{path} is there, but no report of this tool; move it away, or use --report none')


def is_our_page(path: Path) -> bool:
    try:
        with path.open('rb') as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


def thumbnails(out: Path) -> Iterator[Path]:
    """All thumbnails in the output folder."""
    return (path for path in out.glob(f'{THUMBNAILS}/??/*.jpg') if THUMBNAIL.fullmatch(path.name))


def temporaries(out: Path) -> Iterator[Path]:
    """Files that may be unfinished files of a report."""
    return (out / FOLDER).rglob(TEMPORARY)


def remove_chunks(out: Path, keep: int = 0) -> None:
    """Delete the chunks of records but the first `keep`."""
    kept = {Path(chunk_path(number)).name for number in range(1, keep + 1)}
    paths = (out / FOLDER).glob('records-*.js')
    remove_all(path for path in paths if CHUNK.fullmatch(path.name) and path.name not in kept)
    remove_empty_folders(out)


def remove_thumbnails(out: Path, keep: Collection[str] = ()) -> None:
    """Delete the thumbnails but those at the paths `keep`, relative to the output folder."""
    remove_all(path for path in thumbnails(out) if path.relative_to(out).as_posix() not in keep)
    remove_empty_folders(out)


def remove_report(out: Path) -> None:
    """Delete the report of an earlier run, and the folders that become empty."""
    if is_our_page(out / PAGE):
        remove_all([out / PAGE])
    remove_chunks(out)
    remove_thumbnails(out)


def remove_all(paths: Iterator[Path] | list[Path]) -> None:
    """Delete files. Raises ImageError if one cannot be deleted."""
    for path in list(paths):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ImageError(f'cannot delete {path}: {error.strerror or error}') from error


def remove_empty_folders(out: Path) -> None:
    for folder in [*out.glob(f'{THUMBNAILS}/??'), out / THUMBNAILS, out / FOLDER]:
        with suppress(OSError):  # it is not there, or not empty
            folder.rmdir()
