"""One run over a folder: plan it, send its images down the line, keep its journal. What the command does."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_bg.draw.styles import STYLES
from solo_bg.errors import SetupError
from solo_bg.records import Record
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import Shard, launched_shard

if TYPE_CHECKING:
    from solo_bg.coco.dataset import Annotations, Labels
    from solo_bg.coco.match import Matches
    from solo_bg.disk.inputs import ImageFile
    from solo_bg.options import Options
    from solo_bg.sources.base import Source

log = logging.getLogger('solo_bg')


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        images: the images to do, ordered by name.
        names: names of their results, one for each image.
        annotations, labels: the data set, and its entries for these images; None without annotations.
        unmatched: records of images and annotations that have no partner.
    """

    images: Sequence[ImageFile]
    names: Sequence[str]
    annotations: Annotations | None
    labels: Labels | None
    unmatched: Sequence[Record]


def eliminate_folder(
    inputs: str | Path | Sequence[str | Path], config: str = '', checkpoint: str = '', **settings: Any
) -> list[Record]:
    """Eliminate the backgrounds of a folder of images: what the command does, from Python.

        records = eliminate_folder('photos/', 'solo_r50_fpn_1x_coco', 'auto', out='out', score_thr=0.4)

    Args:
        inputs: image files, folders, `@list.txt`; one or several.
        config, checkpoint: a config and its weights, as the command takes them.
        settings: options of the command by their names (see `solo_bg.runs.settings.Settings`).

    Returns:
        what became of each image, as the manifest has it. An image that fails is an `error` among them.

    Raises:
        SetupError: nothing could start.
    """
    given = [inputs] if isinstance(inputs, (str, Path)) else inputs
    for name in ('out', 'ann'):
        if settings.get(name) is not None:
            settings[name] = Path(settings[name])
    try:
        chosen = Settings([str(one) for one in given], str(config), str(checkpoint), **settings)
    except TypeError as error:  # a misspelt option
        raise SetupError(f'{error}; the options are those of the command, with _ for -') from error
    return [replace(record, carried=None) for record in execute(chosen, make_plan(chosen))]


def make_plan(settings: Settings) -> Plan:
    """List the images, and match them with the annotations.

    Raises:
        SetupError: no images, annotations that cannot be read, or results that would replace inputs.
    """
    from solo_bg.coco.dataset import Annotations, Labels
    from solo_bg.disk.inputs import find_images
    from solo_bg.disk.output_names import output_names

    if (launched := launched_shard()) and launched.launched and '-' in settings.inputs:
        raise SetupError('torchrun and the list - exclude each other: each process would get a part; use @list.txt')
    listing = find_images(settings.inputs, [os.path.abspath(settings.out / style) for style in STYLES], STYLES)
    images, given = listing.images, ', '.join(settings.inputs)
    if not any(os.path.lexists(image.path) for image in images):
        raise SetupError(listing.why_nothing(settings.inputs))
    for note in listing.notes():
        log.warning('%s', note)
    annotations = Annotations.from_file(settings.ann) if settings.ann else None
    images, matches, unmatched = match(images, annotations)
    images = images[: settings.limit]
    if not images:
        hint = next((f'; {hint}' for hint in matches.hints.values()), '') if matches else ''
        raise SetupError(f'none of the images in {given} is in {settings.ann}{hint}')
    labels = Labels(annotations, matches.found) if annotations and matches else None
    plan = Plan(images, output_names(images), annotations, labels, unmatched)
    refuse_overwriting(plan, settings)
    return plan


def match(
    images: list[ImageFile], annotations: Annotations | None
) -> tuple[list[ImageFile], Matches | None, list[Record]]:
    """The images to do, their annotations, and records of images and annotations without a partner.

    A path that is no file stays among the images: reading it reports it.
    """
    if not annotations:
        return images, None, []
    paths = {image.shown: Path(os.path.abspath(image.path)).as_posix() for image in images}
    matches = annotations.match({image.shown: image.below.as_posix() for image in images}, paths)
    unknown, ambiguous = set(matches.unknown), set(matches.ambiguous)
    unlabelled = {image.shown for image in images if image.shown in unknown and os.path.isfile(image.path)}
    records = [Record(shown, 'unlabelled') for shown in sorted(unlabelled)]
    several = 'shares its path below INPUT with another image, and the annotations have one such path'
    records += [Record(shown, 'error', error=several) for shown in sorted(ambiguous)]
    absent = 'is in the annotations, but there is no such image'
    hints = {name: f'{absent}; {hint}' for name, hint in matches.hints.items()}
    records += [Record(name, 'missing', error=hints.get(name, absent)) for name in matches.missing]
    return [image for image in images if image.shown not in unlabelled | ambiguous], matches, records


def refuse_overwriting(plan: Plan, settings: Settings) -> None:
    """Raise SetupError if a result would take the place of an input."""
    from solo_bg.runs.assemble import make_options
    from solo_bg.runs.journal import ANNOTATIONS

    options = make_options(settings)
    if settings.ann and os.path.realpath(settings.ann) == os.path.realpath(options.out / ANNOTATIONS):
        raise SetupError(f'the annotations of the results would replace {settings.ann}; choose another --out')
    out = os.path.join(os.path.realpath(options.out), '')
    given = {path for image in plan.images if (path := os.path.realpath(image.path)).startswith(out)}
    if not given:
        return
    for image, name in zip(plan.images, plan.names, strict=True):
        for style in options.styles:
            if os.path.realpath(options.out / options.output(style, name)) in given:
                raise SetupError(f'the {style} picture of {image.shown} would replace an input; choose another --out')


def execute(settings: Settings, plan: Plan) -> Iterator[Record]:
    """Do this process's images; yield what became of each once the journal has it.

    A run of one process ends with the sorted manifest; under torchrun the first process merges all.
    """
    from solo_bg.runs import manifest, outfolder

    launched = launched_shard()
    if launched and settings.shard.count > 1:
        raise SetupError('torchrun and --shard exclude each other: torchrun makes the shards itself')
    if launched and settings.engine == 'ray':
        raise SetupError('torchrun and --engine ray exclude each other: Ray starts the processes itself')
    shard = launched or settings.shard
    with outfolder.claim(settings.out, shared=shard.count > 1) as locked:
        if not locked:
            log.warning('%s cannot be locked; let no other run write to it', settings.out)
        if not shard.launched or shard.index == 0:
            outfolder.make_ready(settings.out, shard, settings.resume, settings.overwrite, locked and shard.alone)
        yield from eliminate(settings, plan, shard)
        shard.wait()
        if shard.launched and shard.index == 0:
            _, unfinished = manifest.merge(settings.out)
            for name in unfinished:
                log.warning('%s has not ended; run it with --resume, then merge again', name)


def eliminate(settings: Settings, plan: Plan, shard: Shard) -> Iterator[Record]:
    """This shard's images, each into the journal as soon as it is done."""
    from solo_bg.runs import assemble, manifest, outfolder, provenance
    from solo_bg.runs.journal import Journal

    assemble.set_threads(settings.threads, shard)
    source = assemble.make_source(settings, plan.annotations)
    options = assemble.make_options(settings, assemble.make_fill(settings, plan.images), source.device)
    dataset = assemble.describe_dataset(options, plan.annotations, source)
    facts = provenance.describe(settings, source, options) | {'shards': shard.count}
    before = manifest.read_runs(settings.out)
    for change in provenance.what_changed(before, facts):
        log.warning('%s; masks may differ by a few pixels', change)
    if shard.launched and shard.index > 0:
        shard.wait()  # the first process prepares the journals
    journal = Journal(settings.out, facts['key'], shard)
    if not shard.launched or shard.index == 0:
        given = {image.shown for image in plan.images} | {record.input for record in plan.unmatched}
        outputs = (options.output(style, name) for style in options.styles for name in plan.names)
        outfolder.settle(journal, given, outputs, all(run['key'] == facts['key'] for run in before), shard)
    if shard.launched and shard.index == 0:
        shard.wait()
    if shard.count > 1:  # for the merge
        facts['dataset'] = dataset
    manifest.write_run(settings.out, facts, shard)
    for record in records_of(settings, plan, shard, source, options, journal):
        journal.add(record)
        yield record
    journal.close()
    if shard.count == 1:
        manifest.finish(settings.out, 1, dataset)
    manifest.write_run(settings.out, facts | {'end': provenance.now()}, shard)


def records_of(
    settings: Settings, plan: Plan, shard: Shard, source: Source, options: Options, journal: Any
) -> Iterator[Record]:
    """Records of this shard's inputs: those without a partner first, then the images', in this process or on Ray."""
    from solo_bg import pipeline

    yield from (record for record in plan.unmatched if shard.owns(record.input))
    if settings.engine == 'ray':
        yield from start_ray(settings, plan, journal)
        return
    mine = [(image, name) for image, name in zip(plan.images, plan.names, strict=True) if shard.owns(image.shown)]
    images, names = [image for image, _ in mine], [name for _, name in mine]
    yield from pipeline.run(images, source, options, plan.labels, names, journal)


def start_ray(settings: Settings, plan: Plan, journal: Any) -> Iterator[Record]:
    try:
        from solo_bg.runs import ray_engine
    except ImportError as error:
        raise SetupError(f'--engine ray needs Ray ({error}); pip install "solo_bg[ray]"') from error
    return ray_engine.run(settings, plan, journal)


def count_records(plan: Plan, shard: Shard) -> int:
    """The number of records that `execute` will yield."""
    inputs = [*(record.input for record in plan.unmatched), *(image.shown for image in plan.images)]
    return sum(shard.owns(name) for name in inputs)
