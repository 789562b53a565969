"""Describe how results are made: the contents of run.json, and the key that `--resume` compares."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from solo_bg.disk.inputs import list_images
from solo_bg.disk.read import digest
from solo_bg.draw.backgrounds import Colour, Mix
from solo_bg.draw.refine import read_refine_options
from solo_bg.sources import choose_source
from solo_bg.version import __version__

if TYPE_CHECKING:
    from solo_bg.draw.fills import Fill
    from solo_bg.options import Options
    from solo_bg.runs.settings import Settings
    from solo_bg.sources.base import Source

# options that change no pixel, and those that are functions, which are described by what made them
LEFT_OUT = ('out', 'fill', 'refine', 'workers', 'max_pixels', 'thumbnails')


def describe(settings: Settings, source: Source, options: Options) -> dict[str, Any]:
    """The contents of run.json at the start of a run.

    `depends` is everything that the results depend on besides the images; `key` is its SHA-256. The device and the
    number of threads, which may round differently, are not part of it.
    """
    import torch

    name, _ = choose_source(settings.source, settings.config)
    depends = {
        'solo_bg': __version__,
        'source': {'name': name, **source.describe()},
        'options': {one.name: getattr(options, one.name) for one in fields(options) if one.name not in LEFT_OUT},
        'fill': describe_fills(settings, options.fill),
        'refine': describe_refiner(settings),
        'annotations': digest(settings.ann) if settings.ann else None,
    }
    return {
        'command': sys.argv,
        'folder': os.getcwd(),
        'config': settings.config,
        'checkpoint': settings.checkpoint,
        'report': settings.report,
        'versions': {'solo_bg': __version__, 'torch': torch.__version__, 'mmdet': installed_mmdet()},
        'device': source.device,
        'threads': torch.get_num_threads(),
        'workers': options.workers,
        'key': hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest(),
        'depends': depends,
        'host': platform.node(),
        'start': now(),
        'end': None,
    }


def installed_mmdet() -> str | None:
    """The version of the installed mmdet, upstream's or the fork's; None if there is none."""
    for name in ('mmdet', 'onedl-mmdetection'):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def describe_refiner(settings: Settings) -> dict[str, Any] | None:
    """The refiner by its name and all of its options."""
    if not settings.refine:
        return None
    return {'name': settings.refine, **read_refine_options(settings.refine, settings.refine_options)}


def describe_fills(settings: Settings, fill: Fill) -> list[Any]:
    """Each fill with its weight: a name, the colour of `dataset-mean`, or the files of a folder with size and time."""
    if isinstance(fill, Mix):
        return [
            [describe_fill(name, one), weight]
            for (name, weight), one in zip(settings.mix or (), fill.fills, strict=True)
        ]
    return [[describe_fill(settings.fill or 'zero', fill), 1]]


def describe_fill(name: str, fill: Fill) -> Any:
    if isinstance(fill, Colour):
        return fill.bgr
    if not name.startswith('dir:'):
        return name
    pictures = list_images([name.removeprefix('dir:')])
    stats = [(image.below.as_posix(), image.path.stat()) for image in pictures if image.path.exists()]
    return [[below, stat.st_size, stat.st_mtime_ns] for below, stat in stats]


def now() -> str:
    """The time in UTC, in the format of ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec='seconds')


def what_changed(before: Sequence[dict[str, Any]], facts: dict[str, Any]) -> list[str]:
    """Differences between earlier runs and this one that may change how results are rounded, though the keys agree.

    `facts` is changed: it gets the devices and the numbers of threads of all these runs.
    """
    runs = [run for run in before if run.get('key') == facts['key']]
    changes = []
    for name, all_of_them in (('device', 'devices'), ('threads', 'thread_counts')):
        seen = dict.fromkeys([*(one for run in runs for one in run.get(all_of_them, [])), facts[name]])
        facts[all_of_them] = sorted(seen)
        changes += [f'{name} was {one} before and is {facts[name]} now' for one in seen if one != facts[name]]
    return changes
