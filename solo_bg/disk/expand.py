"""Turn the INPUTs of a command into paths: lists, standard input and patterns. Opens only lists."""

from __future__ import annotations

import codecs
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from solo_bg.errors import SetupError

URL = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+://')


def expand(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs as paths: lists are replaced by their lines, and patterns by what they match."""
    for given in inputs:
        if given.startswith('@'):
            yield from read_list(given[1:])
        elif given == '-':
            yield from lines_of(sys.stdin.buffer.read(), 'standard input')
        elif not given:
            raise SetupError('an INPUT is empty; expected a file, a folder or @list.txt')
        elif URL.match(given) and not os.path.lexists(given):
            raise SetupError(f'{given} is a URL, and URLs are not read; download the images and give their folder')
        elif glob.has_magic(given) and not os.path.lexists(given):
            matches = sorted(glob.glob(given, recursive=True))
            if not matches:
                raise SetupError(f'{given} matches no file; expected image files, folders of them, or @list.txt')
            yield from matches
        else:
            yield given


def read_list(name: str) -> Iterator[str]:
    try:
        content = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise SetupError(f'cannot read the list {name}: {error}; expected a text file, one path a line') from error
    return lines_of(content, f'the list {name}')


def lines_of(content: bytes, shown: str) -> Iterator[str]:
    """The paths in a list, without empty lines.

    A line is a path as the file system has it, in any encoding. Blanks around it are removed unless there is a file
    of that name.
    """
    if b'\0' in content:
        raise SetupError(f'{shown} holds a zero byte; expected text (not UTF-16), one path a line')
    lines = [os.fsdecode(line) for line in content.removeprefix(codecs.BOM_UTF8).split(b'\n')]
    for line in lines:
        if line.strip():
            yield line if os.path.lexists(line) else line.strip()
