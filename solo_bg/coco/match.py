"""Which image file belongs to which entry of a data set? Decided by their paths; opens no file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from solo_bg.coco.check import Entry, plain_path

A = TypeVar('A', bound=Hashable)
B = TypeVar('B', bound=Hashable)


@dataclass(frozen=True)
class Matches:
    """Which image file is which entry.

    Attributes:
        found: key of a file -> its entry.
        missing: file names of the entries without a file.
        unknown: keys of the files without an entry.
        ambiguous: keys of files that share their path below INPUT, for which there is only one entry.
        hints: a missing file name -> a sentence that names a file which differs from it only in upper and lower case.
    """

    found: dict[str, Entry]
    missing: list[str]
    unknown: list[str]
    ambiguous: list[str]
    hints: dict[str, str]


def match(images: Sequence[Entry], names: Mapping[str, str], paths: Mapping[str, str] | None = None) -> Matches:
    """Match files and entries: by the path below INPUT, and the rest by the longest common end of their paths.

    `cat/1.png` is thus found in `/data/cat` even if INPUT is that folder and the data set has a `dog/1.png` too. A
    match must be unique on both sides.

    Args:
        images: the data set's `images`.
        names: a key for each image file -> its path below INPUT, with `/`.
        paths: the same keys -> the file's whole path, with `/` (default: `names`).
    """
    entries = {plain_path(image['file_name']): image for image in images}
    files = only_ones((name, key) for key, name in names.items())
    found = {key: entries[name] for name, key in files.items() if name in entries}
    ambiguous = [key for key, name in names.items() if name in entries and name not in files]
    given = set(names.values())
    left = {name: parts_of(name) for name in entries if name not in given}
    rest = {key: parts_of((paths or names)[key]) for key, name in names.items() if name not in entries}
    by_end = pair_by_ends(left, rest)
    found |= {key: entries[name] for name, key in by_end.items()}
    left = {name: parts for name, parts in left.items() if name not in by_end}
    rest = {key: parts for key, parts in rest.items() if key not in found}
    lower = pair_by_ends(*({one: tuple(map(str.casefold, side[one])) for one in side} for side in (left, rest)))
    hints = {
        entries[name]['file_name']: f'{key} differs from {name} only in upper and lower case; rename one of them'
        for name, key in lower.items()
    }
    return Matches(found, [entries[name]['file_name'] for name in left], list(rest), ambiguous, hints)


def pair_by_ends(first: Mapping[A, tuple[str, ...]], second: Mapping[B, tuple[str, ...]]) -> dict[A, B]:
    """Pair paths, given as parts, by their longest common ends; each end must be unique on both sides."""
    pairs: dict[A, B] = {}
    taken: set[B] = set()
    for length in range(max(map(len, first.values()), default=0), 0, -1):
        here = only_ones((end(parts, length), key) for key, parts in first.items() if key not in pairs)
        there = only_ones((end(parts, length), key) for key, parts in second.items() if key not in taken)
        new = {here[common]: there[common] for common in here if common in there}
        pairs |= new
        taken.update(new.values())
    return pairs


def end(parts: tuple[str, ...], length: int) -> tuple[str, ...] | None:
    """The last parts of a path; None if it has fewer."""
    return parts[-length:] if len(parts) >= length else None


def parts_of(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts


def only_ones(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The pairs whose key occurs once and is not None, as a dict."""
    grouped: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        grouped[key].append(value)
    return {key: values[0] for key, values in grouped.items() if len(values) == 1 and key is not None}
