"""`eliminate_folder`: what the command does, as a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from solo_bg import bundled
from solo_bg.errors import SetupError
from solo_bg.records import Record
from solo_bg.runs.settings import Settings
from solo_bg.sources import choose_source

POSITIONAL = ('inputs', 'config', 'checkpoint')


def eliminate_folder(
    inputs: str | Path | Sequence[str | Path],
    config: str | Path = '',
    checkpoint: str | Path = '',
    *,
    on_record: Callable[[Record], object] | None = None,
    **options: Any,
) -> list[Record]:
    """Remove the backgrounds of all images in a folder, and write the results to another folder.

        records = eliminate_folder('photos/', out='out', styles=['eliminated', 'mask'])
        failed = [record for record in records if record.status == 'error']

    The function does what the command `eliminate_bg` does, with the same options. It prints nothing; warnings go to the
    logger `solo_bg`.

    Args:
        inputs: images, videos, folders, or `@list.txt` with one path in each line; one of them or several.
        config: an mmdet config, or the name of a model. With neither config nor checkpoint, the bundled model is used.
        checkpoint: its weights, or 'auto' to download the weights of a named model.
        on_record: is called with each record, as soon as its pictures are written; for a progress display.
        options: see below. An option without a default here has that of `eliminate_bg --help`, which also explains
            each option.

    Which instances are kept: `score_thr=0.3`, `classes` (names), `source` ('model', 'gt', 'union', or 'module:Class'),
        `source_options` (a dict of texts), `sort_by_density=False`, `dilate=0` (pixels).
    What is written: `out='out'`, `styles=('eliminated', 'overlay')`, `format='png'`, `quality=95`, `fill`, `mix` (pairs
        of a fill and its weight), `refine`, `refine_options` (a dict), `soft=False`, `on_empty='skip'`, `seed=0`.
    Videos: `frames` (1 writes all frames as pictures, n every n-th; None writes videos), `smooth=1`, `crf=18`.
    Data sets: `ann` (path of COCO annotations), `strict=False`, `missed`, `min_recall`, `min_iou`, `segmentation`.
    The run: `resume=False`, `overwrite=False`, `report='full'`, `limit`, `device='auto'`, `precision='auto'`,
        `backend='auto'`, `batch_size`, `workers`, `threads`, `max_pixels`, `cfg_options` (a list of 'key=value'),
        `stock_head=False`, `trust_checkpoint=False`, `shard` (a `solo_bg.runs.shards.Shard`),
        `engine='local'`, `ray_address`, `tiles` ('SIZE:OVERLAP').

    Returns:
        the record of each input, as in the manifest and in the same order. An image that failed has the status
        'error', and `record.error` says why.

    Raises:
        SetupError: nothing could start: an option, the model, the annotations or the output folder are wrong.
        ImageError: the manifest cannot be written.
    """
    from solo_bg.runs.plan import make_plan
    from solo_bg.runs.run import execute

    settings = make_settings(inputs, str(config), str(checkpoint), options)
    records = []
    for record in execute(settings, make_plan(settings)):
        records.append(replace(record, carried=None))
        if on_record:
            on_record(records[-1])
    return sorted(records, key=lambda record: record.input)


def make_settings(
    inputs: str | Path | Sequence[str | Path], config: str, checkpoint: str, options: dict[str, Any]
) -> Settings:
    """The settings that the arguments of `eliminate_folder` describe. Raises SetupError for an unknown option."""
    known = [one.name for one in fields(Settings) if one.name not in POSITIONAL]
    for name in options:
        if name not in known:
            near = [f'; did you mean {match!r}?' for match in get_close_matches(name, known, 1)] or ['.']
            raise SetupError(f'there is no option {name!r}{near[0]} The options are {", ".join(known)}')
    for name in ('out', 'ann'):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    for name in ('styles', 'classes', 'cfg_options'):
        if isinstance(options.get(name), str):
            options[name] = [options[name]]
    _, source = choose_source(options.get('source'), config)
    if source.needs_model and not config and not checkpoint:
        config, checkpoint = str(bundled.CONFIG), str(bundled.CHECKPOINT)
    given = [inputs] if isinstance(inputs, (str, Path)) else inputs
    return Settings([str(one) for one in given], config, checkpoint, **options)


def signature() -> inspect.Signature:
    """The signature with every option by its name, so that `help` and notebooks show and complete them."""
    own = [one for one in inspect.signature(eliminate_folder).parameters.values() if one.kind is not one.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.annotation)
        for name, one in inspect.signature(Settings).parameters.items()
        if name not in POSITIONAL
    ]
    return inspect.Signature([*own, *more], return_annotation=list[Record])


eliminate_folder.__signature__ = signature()  # type: ignore[attr-defined]
