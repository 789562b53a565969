"""Options that a source, a network or a refiner defines for itself: texts of the command line -> values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_bg.errors import SetupError


def read_options(
    defaults: Mapping[str, Any], given: Mapping[str, Any], option: str = '--source-options'
) -> dict[str, Any]:
    """The defaults, replaced by the given texts or values, converted to the defaults' types.

    A tuple is written with commas; its items have the type of the default's first item, or are texts.

    Args:
        option: the command's option that the texts come from, for messages.

    Raises:
        SetupError: an unknown name, or something that is no value of the type.
    """
    values = dict(defaults)
    for name, text in given.items():
        if name not in defaults:
            known = ', '.join(defaults) or 'none'
            raise SetupError(f'{option}: there is no {name!r} here; expected one of: {known}')
        try:
            values[name] = convert(text, defaults[name])
        except (TypeError, ValueError) as error:
            kind = type(defaults[name]).__name__
            raise SetupError(f'{option}: {name} expected {kind}, got {text!r}') from error
    return values


def convert(given: Any, default: Any) -> Any:
    """A text, or a value given from Python, as a value of the default's type. Raises ValueError if it is none."""
    if isinstance(default, bool):
        return str(given).lower() in ('1', 'true', 'yes')
    if isinstance(default, tuple):
        item = type(default[0]) if default else str
        parts = given.strip('()[]').split(',') if isinstance(given, str) else given
        return tuple(item(part) for part in parts if part != '')
    return type(default)(given)
