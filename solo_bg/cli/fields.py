"""The options of the command that concern a single image, as fields of a form: text -> value, with the same rules."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from solo_bg.cli import arguments
from solo_bg.cli.values import KEY_VALUE

# the server's own, because the model is loaded and nothing is written; and those of videos
OF_THE_COMMAND = ('source', 'source_options', 'out', 'frames', 'smooth', 'crf')
PAIRS = 'K=V'
YES, NO = ('true', '1', 'yes', 'on'), ('false', '0', 'no', 'off')


@dataclass(frozen=True)
class Field:
    """One option of the command.

    Attributes:
        name: as in `Settings`.
        help: the option's help.
        metavar: what the help calls its value; '' for a switch.
        default: its value where the field is left out.
        choices: the texts that it takes; None: any that `convert` takes.
        convert: text -> value; raises ValueError or argparse.ArgumentTypeError.
    """

    name: str
    help: str
    metavar: str
    default: Any
    choices: tuple[str, ...] | None
    convert: Callable[[str], Any]

    def read(self, text: str) -> Any:
        """The value that a text stands for. Raises ValueError, whose message says what was expected."""
        try:
            value = self.convert(text)
        except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
            raise ValueError(' '.join(str(error).split())[:500].removeprefix('expected ')) from error
        if self.choices and value not in self.choices:
            raise ValueError(f'one of {", ".join(self.choices)}')
        return value


def instance_fields() -> dict[str, Field]:
    """The options that choose among the instances of an image, by name."""
    return {**collect(arguments.add_choices), 'sort_by_density': collect(arguments.add_outputs)['sort_by_density']}


def picture_fields() -> dict[str, Field]:
    """The options that choose instances and draw pictures of them, by name."""
    return {**collect(arguments.add_choices), **collect(arguments.add_outputs)}


@cache
def refused_names() -> frozenset[str]:
    """The options that only the command takes: they name files, or concern a whole run."""
    every = (name_of(action.option_strings) for action in arguments.build_parser()._actions if action.option_strings)
    return frozenset(every) - picture_fields().keys()


@cache
def collect(add: Callable[[Callable[..., Any]], None]) -> dict[str, Field]:
    """The options that one of the `add_` functions of `arguments` adds, without those that name files."""
    found: dict[str, Field] = {}

    def option(*flags: str, **described: Any) -> None:
        name = described.get('dest') or name_of(flags)
        if name not in OF_THE_COMMAND and described.get('type') is not Path:
            found[name] = make_field(name, described)

    add(option)
    return found


def make_field(name: str, described: dict[str, Any]) -> Field:
    """A field from the arguments of `ArgumentParser.add_argument`."""
    switch = described.get('action') == 'store_true'
    pairs = described.get('metavar') == PAIRS
    convert = read_switch if switch else read_pairs if pairs else described.get('type') or str
    choices = described.get('choices')
    return Field(
        name,
        described['help'],
        '' if switch else described.get('metavar') or name,
        False if switch else {} if pairs else described.get('default'),
        tuple(choices) if choices else None,
        convert,
    )


def name_of(flags: Any) -> str:
    """The name that argparse gives an option: its first long flag with underscores."""
    long = next((flag for flag in flags if flag.startswith('--')), flags[0])
    return long.lstrip('-').replace('-', '_')


def read_switch(text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ValueError(f'expected true or false, got {text!r}')
    return text.lower() in YES


def read_pairs(text: str) -> dict[str, str]:
    """`radius=8 eps=1e-4` -> {'radius': '8', 'eps': '1e-4'}."""
    words = text.split()
    if not words or not all(map(KEY_VALUE.match, words)):
        raise ValueError(f'expected K=V with spaces between several, got {text!r}')
    return dict(word.split('=', 1) for word in words)
