"""What the server says about models."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from solo_bg.errors import SetupError
from solo_bg.models.foreground_zoo import FOREGROUND_MODELS
from solo_bg.sources import choose_source
from solo_bg.web.engine import Engine


def describe_loaded(engine: Engine) -> dict[str, Any]:
    """The model that the server runs; a source without a model is called by the source's name."""
    settings, source = engine.settings, engine.source
    name, kind = choose_source(settings.source, settings.config)
    return {
        'name': Path(settings.config).stem if settings.config else name,
        'source': name,
        'device': source.device,
        'has_scores': kind.has_scores,
        'class_names': list(source.class_names),
    }


@cache
def known_models() -> list[str]:
    """The names of all models that the command knows, in alphabetical order. Takes a second at the first call."""
    from solo_bg.models.zoo import models

    try:
        detectors = list(models())
    except SetupError:  # mmdet is not installed, or lists none
        detectors = []
    return sorted([*detectors, *FOREGROUND_MODELS])
