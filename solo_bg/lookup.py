"""Objects by the text 'module:name', so that tables can list them without importing them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(reference: str) -> Any:
    """The object that 'module:name' refers to. Raises ImportError or AttributeError where there is none."""
    module, _, name = reference.partition(':')
    return getattr(import_module(module), name)
