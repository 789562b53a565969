"""List the images and videos that the INPUTs name. Looks into folders; opens no image."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from solo_bg.disk.expand import expand
from solo_bg.disk.formats import OPTIONAL_SUFFIXES, SUFFIXES, VIDEO_SUFFIXES
from solo_bg.disk.pipes import is_pipe

# a folder with one of each holds results of a run, or of a shard of one
RUN_FILE = re.compile(r'run(-\d+-of-\d+)?\.json')
MANIFEST_FILE = re.compile(r'manifest(-\d+-of-\d+)?\.jsonl')


@dataclass(frozen=True)
class ImageFile:
    """One input: an image or a video.

    Attributes:
        path: where it is; for a pipe, the text that names it.
        shown: INPUT joined with the path below it, with `/` between the parts; the manifest's name for the image.
        below: its path below INPUT; the file's own name if INPUT is the file.
        root: the folder that `below` starts from.
    """

    path: Path
    shown: str
    below: PurePosixPath
    root: Path

    @property
    def is_pipe(self) -> bool:
        """Whether its frames come from standard input."""
        return is_pipe(str(self.path))

    @property
    def is_video(self) -> bool:
        """Whether it is a video: known by its suffix."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES or self.is_pipe


@dataclass(frozen=True)
class Listing:
    """What was found for the inputs.

    Attributes:
        images: each image and each video once, ordered by `shown`. A file that was given by name is among them even if
            it does not exist: reading it reports the error.
        left_out: paths of files in folders that are not read, for lack of a suffix of an image.
        results: folders in which pictures of earlier runs were passed over.
    """

    images: list[ImageFile] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    results: set[str] = field(default_factory=set)

    def notes(self) -> list[str]:
        """What was left out, as a line for each reason; none if nothing was."""
        notes = []
        if self.left_out:
            files = 'file in the folders is' if len(self.left_out) == 1 else 'files in the folders are'
            notes.append(f'{len(self.left_out)} {files} not read: {count_suffixes(self.left_out)}')
        if self.results:
            notes.append(f'results of earlier runs are not read as images: {some(sorted(self.results))}')
        return notes

    def why_nothing(self, inputs: Sequence[str]) -> str:
        """Why there is no image to read, for an error message."""
        absent = [image.shown for image in self.images]
        missing = f'{some(absent)} {"does" if len(absent) == 1 else "do"} not exist' if absent else ''
        if absent and not any(os.path.isdir(given) for given in inputs):
            return f'{missing}; expected image files, folders of them, or @list.txt'
        reasons = [*([missing] if missing else []), *self.notes()]
        found = f' ({"; ".join(reasons)})' if reasons else ''
        return f'no images in {some(inputs)}{found}; expected image files, folders of them, or @list.txt'


def count_suffixes(paths: Iterable[str]) -> str:
    """How many files have which suffix: "3 .txt, 1 .heic (needs pillow-heif)"."""
    names = [os.path.basename(path) for path in paths]
    kinds = ('._*' if name.startswith('._') else os.path.splitext(name)[1].lower() for name in names)
    notes = {suffix: f' (needs {needed})' for suffix, needed in OPTIONAL_SUFFIXES.items()} | {'._*': ' (of macOS)'}
    counted = sorted(Counter(kinds).items(), key=lambda item: (-item[1], item[0]))
    return some([f'{count} {kind or "without suffix"}{notes.get(kind, "")}' for kind, count in counted], 6)


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


@cache
def readable_suffixes() -> frozenset[str]:
    """SUFFIXES, and those of OPTIONAL_SUFFIXES whose libraries are installed."""
    from PIL import features

    found = set(SUFFIXES)
    if 'avif' in features.modules and features.check_module('avif'):
        found.add('.avif')
    if find_spec('pillow_heif'):
        found |= {'.heic', '.heif'}
    if find_spec('av'):
        found |= VIDEO_SUFFIXES
    return frozenset(found)


def list_images(inputs: Iterable[str], skip: Collection[str] = ()) -> list[ImageFile]:
    """The images of `find_images`, without the videos."""
    return [image for image in find_images(inputs, skip).images if not image.is_video]


def find_images(inputs: Iterable[str], skip: Collection[str] = (), results: Collection[str] = ()) -> Listing:
    """Every image and every video that the inputs name.

    Args:
        inputs: files (tried whatever their suffix), folders (with all their sub-folders; files of `readable_suffixes`
            in any case), patterns such as `*.jpg`, `@list.txt` (a file with one path a line) and `-` (such a list from
            standard input); or frames from a pipe (see `solo_bg.disk.pipes`).
        skip: absolute paths of folders that are not entered.
        results: names of sub-folders that are not entered where the files of a run lie beside them.

    Raises:
        SetupError: a list cannot be read, a pattern matches nothing, or an input is empty or a URL.
    """
    listing = Listing()
    found: dict[str, ImageFile] = {}
    for given in expand(inputs):
        if is_pipe(given):
            found[given] = ImageFile(Path(given), given, PurePosixPath('stdin'), Path())
            continue
        given_path = Path(given)
        is_folder = os.path.isdir(given)
        root = given_path if is_folder else given_path.parent
        for path in walk(root, skip, results, listing) if is_folder else [given_path]:
            below = PurePosixPath(path.relative_to(root) if path != root else path.name)
            found.setdefault(
                os.path.abspath(path), ImageFile(path, (PurePosixPath(root) / below).as_posix(), below, root)
            )
    listing.images.extend(sorted(found.values(), key=lambda image: image.shown))
    return listing


def walk(folder: Path, skip: Collection[str], results: Collection[str], listing: Listing) -> Iterator[Path]:
    """Images and videos below a folder, and the sub-folders that cannot be entered: reading those reports it.

    Links to folders are followed, and each folder is entered once, by the first of its paths in order of names. What
    is left out is added to `listing`.
    """
    seen, waiting = set(), [folder]
    skipped = {identity(path) for path in skip if os.path.isdir(path)}
    while waiting:
        where = waiting.pop()
        try:
            here = identity(where)
            if here in skipped and where != folder:
                listing.results.add(os.fspath(where.parent))
                continue
            if here in seen:
                continue
            seen.add(here)
            with os.scandir(where) as entries:
                found = sorted((entry.name, is_folder(entry)) for entry in entries)
        except OSError:
            yield where
            continue
        files = [name for name, has_more in found if not has_more]
        folders = [name for name, has_more in found if has_more]
        if any(map(RUN_FILE.fullmatch, files)) and any(map(MANIFEST_FILE.fullmatch, files)):
            if any(name in results for name in folders):
                listing.results.add(os.fspath(where))
            folders = [name for name in folders if name not in results]
            files = [name for name in files if is_image_name(name)]  # the run's own files are not reported
        waiting.extend(where / name for name in reversed(folders))
        for name in files:
            if is_image_name(name):
                yield where / name
            elif name.startswith('._') or not name.startswith('.'):  # other hidden files are not reported
                listing.left_out.add(os.path.abspath(where / name))


def is_image_name(name: str) -> bool:
    """Whether a file of this name is read from a folder. macOS keeps metadata of `a.jpg` in `._a.jpg`."""
    return os.path.splitext(name)[1].lower() in readable_suffixes() and not name.startswith('._')


def identity(folder: str | Path) -> tuple[int, int]:
    """A value that is equal for all paths to the same folder."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one. `entry.is_dir()` alone raises OSError for a link to itself."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))
