"""Overrides of a config: `KEY=VALUE`, where KEY is a dotted path into the config."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from solo_bg.errors import SetupError
from solo_bg.models.mmcv_ops import quiet_imports

with quiet_imports():
    from mmengine.config import Config, DictAction

PAIR = re.compile(r'[A-Za-z_][\w.\-]*=', re.ASCII)
TYPO = 0.85  # keys at least this similar (difflib's ratio) are taken for the same key, mistyped


def merge_options(config: Config, given: Mapping[str, Any] | Sequence[str] | str | None) -> None:
    """Change the config as the overrides say.

    A key that the config does not have is added, as mmdet's tools do, since models have options that configs leave
    out. A key that resembles one beside it is taken for a mistake.

    Args:
        given: a dict, `KEY=VALUE` texts as `--cfg-options` takes them, or one such text.

    Raises:
        SetupError: a text is no `KEY=VALUE`, a key is mistyped, or the config does not take it.
    """
    options = parse_cfg_options(given)
    for key in options:
        check_key(config, key)
    try:
        config.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise SetupError(f'the config takes no such overrides: {error}; got {dict(options)}') from error


def parse_cfg_options(given: Mapping[str, Any] | Sequence[str] | str | None) -> Mapping[str, Any]:
    """`KEY=VALUE` texts -> a dict, with values read as mmengine reads them. A dict is returned as it is."""
    if given is None or isinstance(given, Mapping):
        return given or {}
    texts = [given] if isinstance(given, str) else list(given)
    parsed: Any = SimpleNamespace()
    try:
        for text in texts:
            if not PAIR.match(text):
                raise ValueError(f'expected KEY=VALUE, got {text!r}')
        DictAction([], 'options')(None, parsed, texts)  # an action of argparse's, called as argparse calls it
        return parsed.options
    except (AssertionError, ValueError, TypeError) as error:
        raise SetupError(f'--cfg-options {" ".join(map(str, texts))} cannot be read: {error}') from error


def check_key(config: Config, key: str) -> None:
    """Raise SetupError where a part of the key is missing from the config and resembles a part that is there."""
    node: Any = config
    parts = key.split('.')
    for index, part in enumerate(parts):
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                return  # merging says what is wrong
            node = node[int(part)]
        elif not isinstance(node, Mapping) and not isinstance(node, Config):
            return
        elif part in node:
            node = node[part]
        else:
            if near := difflib.get_close_matches(part, map(str, node.keys()), 1, TYPO):
                meant = '.'.join([*parts[:index], near[0], *parts[index + 1 :]])
                raise SetupError(f'the config has no key {key}; did you mean {meant}?')
            return
