"""Values of options: text -> value. A wrong value is an error that says what was expected."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence

from solo_bg.draw.fills import COLOUR, FILLS, FILLS_WITH_ARGUMENTS
from solo_bg.runs.shards import Shard

MIX_PART = re.compile(r'(.+?):(\d*\.?\d+)(?:,|$)')  # a fill and its weight
KEY_VALUE = re.compile(r'[A-Za-z_][\w.\-]*=')


def take_pairs(argv: Sequence[str], option: str, parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Split off `OPTION K=V ...`. It ends at the first word that is not K=V, so that inputs may follow.

    Returns:
        the other words, and the pairs.
    """
    rest: list[str] = []
    found: list[str] = []
    words = iter(argv)
    taking = False
    for word in words:
        if word == '--':
            return [*rest, word, *words], found
        if word == option or word.startswith(f'{option}='):
            taking, word = True, word.removeprefix(option).removeprefix('=')
            if not word:
                continue
        if taking and KEY_VALUE.match(word):
            found.append(word)
        elif taking and not found:
            parser.error(f'{option} expected K=V, got {word}')
        else:
            taking = False
            rest.append(word)
    if taking and not found:
        parser.error(f'{option} expected K=V, got nothing')
    return rest, found


def fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, got {text!r}')
    return value


def count(text: str) -> int:
    return at_least(1, text)


def whole(text: str) -> int:
    return at_least(0, text)


def at_least(least: int, text: str) -> int:
    value = int(text) if re.fullmatch(r'\d+', text) else least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f'expected a whole number of at least {least}, got {text!r}')
    return value


def fill(text: str) -> str:
    if not (text in FILLS or text == 'dataset-mean' or COLOUR.fullmatch(text) or re.fullmatch('dir:.+', text)):
        raise argparse.ArgumentTypeError(
            f'no fill is called {text!r}; expected one of {", ".join((*FILLS, *FILLS_WITH_ARGUMENTS))}'
        )
    return text


def mix(text: str) -> list[tuple[str, float]]:
    """`zero:0.5,noise:0.5` -> [('zero', 0.5), ('noise', 0.5)]."""
    parts, end = [], 0
    while match := MIX_PART.match(text, end):
        parts.append((fill(match[1]), float(match[2])))
        end = match.end()
    if end != len(text) or not 0 < sum(weight for _, weight in parts) < math.inf:
        raise argparse.ArgumentTypeError(f'expected fills with weights such as zero:0.5,noise:0.5, got {text!r}')
    return parts


def shard(text: str) -> Shard:
    match = re.fullmatch(r'(\d+)/(\d+)', text)
    if not match or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(f'expected I/N with I from 0 to N - 1, such as 0/4, got {text}')
    return Shard(int(match[1]), int(match[2]))


def percent(text: str) -> int:
    value = count(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 to 100, got {text}')
    return value


def names(text: str) -> list[str]:
    given = dict.fromkeys(part.strip() for part in text.split(',') if part.strip())
    if not given:
        raise argparse.ArgumentTypeError(f'expected names with commas between them, got {text!r}')
    return list(given)


def device(text: str) -> str:
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', text):
        raise argparse.ArgumentTypeError(f'no device is called {text!r}; expected auto, cpu, cuda or cuda:N')
    return text
