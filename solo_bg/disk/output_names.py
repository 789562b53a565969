"""Choose the names of the results, a different one for every image."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from solo_bg.disk.formats import FORMATS
from solo_bg.disk.inputs import ImageFile

THUMBNAILS = 'report/thumbs'  # folder of the thumbnails, below the output folder


def thumbnail_path(name: str) -> str:
    """Where the thumbnail of an input lies, relative to the output folder.

    It depends on nothing but the input's name in the manifest, and holds none of its characters: names may hold any.
    """
    digest = hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()
    return f'{THUMBNAILS}/{digest[:2]}/{digest[2:18]}.jpg'


def output_names(images: Sequence[ImageFile]) -> list[str]:
    """A different name for each input, relative to a style's folder and without a suffix.

    Images and videos are named apart from each other, because their results have other suffixes. A video whose name is
    a folder of images' results keeps its suffix: its frames may need a folder of that name.
    """
    named: dict[ImageFile, str] = {}
    for is_video in (False, True):
        of_kind = [image for image in images if image.is_video == is_video]
        folders = {fold(parent.as_posix()) for name in named.values() for parent in PurePosixPath(name).parents}
        for image, name in zip(of_kind, names_of_a_kind(of_kind), strict=True):
            named[image] = name if fold(name) not in folders else name + image.path.suffix
    return [named[image] for image in images]


def names_of_a_kind(images: Sequence[ImageFile]) -> list[str]:
    """A different name for each image.

    The names depend on the whole list, but not on its order. A name is the path below INPUT without its suffix. Where
    two INPUTs have the same path below them, the name of the INPUT's last folder goes before it. Names that are equal
    then (compared by `fold`) keep their suffix, and those that still are get `~` and 8 hex digits of the SHA-256 of
    their path.
    """
    roots_of = defaultdict(set)
    for image in images:
        roots_of[fold(image.below.as_posix())].add(os.path.abspath(image.root))
    told_apart = {root for roots in roots_of.values() if len(roots) > 1 for root in roots}

    full = [
        PurePosixPath(os.path.basename(root)) / image.below if root in told_apart else image.below
        for image, root in ((image, os.path.abspath(image.root)) for image in images)
    ]
    names = [path.with_suffix('').as_posix() for path in full]
    names = [path.as_posix() if clash else name for path, name, clash in zip(full, names, clashes(names), strict=True)]
    digits = 8
    while any(clashes(names)):
        hashes = [hashlib.sha256(image.shown.encode(errors='surrogateescape')).hexdigest() for image in images]
        again = zip(names, hashes, clashes(names), strict=True)
        names = [f'{name}~{digest[:digits]}' if clash else name for name, digest, clash in again]
        digits *= 2
    return names


def clashes(names: Sequence[str]) -> list[bool]:
    """Whether each name occurs more than once, compared by `fold`, or would be a file where another needs a folder."""
    folded = [fold(name) for name in names]
    count = Counter(folded)
    folders = {parent.as_posix() for name in folded for parent in PurePosixPath(name).parents}
    return [count[name] > 1 or any(f'{name}.{suffix}' in folders for suffix in FORMATS) for name in folded]


def fold(name: str) -> str:
    """The same text for names that a file system may take for one: it may ignore case, and how é is composed."""
    return unicodedata.normalize('NFC', name.casefold())
