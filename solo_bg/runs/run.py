"""One run over a folder, which is what the command does: set up, process the images, keep the journal, finish."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solo_bg.errors import ImageError, SetupError
from solo_bg.records import Record
from solo_bg.runs.plan import Plan
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import WHOLE, Shard, launched_shard

if TYPE_CHECKING:
    from solo_bg.clips import OnFrame
    from solo_bg.options import Options
    from solo_bg.runs.journal import Journal
    from solo_bg.sources.base import Source

log = logging.getLogger('solo_bg')


@dataclass(frozen=True)
class Setup:
    """What one process needs to do its part of a run.

    Attributes:
        dataset: what annotations.json holds besides images and annotations; None for no annotations.json.
        facts: what run.json says at the start.
    """

    settings: Settings
    plan: Plan
    shard: Shard
    source: Source
    options: Options
    dataset: dict[str, Any] | None
    facts: dict[str, Any]


def execute(settings: Settings, plan: Plan, on_frame: OnFrame | None = None) -> Iterator[Record]:
    """Process the images of this process; yield each record once it is in the journal.

    A run of one process ends with the sorted manifest and the report; if it is stopped, it writes a report of what is
    there. Under torchrun, the first process merges the results of all.

    Args:
        on_frame: is called after each frame of a video; not on Ray. See `clips.run`.

    Raises:
        SetupError: nothing can start, or another process writes to the same results.
        ImageError: the journal or the manifest cannot be written.
    """
    from solo_bg.runs import outfolder
    from solo_bg.runs.report.files import refuse_foreign_page

    shard = choose_shard(settings)
    with outfolder.claim(settings.out, shard) as locked:
        if not locked:
            log.warning('%s cannot be locked; let no other run write to it', settings.out)
        if shard.prepares:
            alone = locked and shard.alone
            outfolder.make_ready(settings.out, shard, settings.resume, settings.overwrite, alone)
        if settings.report != 'none':
            refuse_foreign_page(settings.out)
        setup = set_up(settings, plan, shard)
        try:
            with open_journal(setup) as journal:
                for record in make_records(setup, journal, on_frame):
                    yield journal.add(record)
        except BaseException:  # Ctrl-C and SIGTERM too
            report_what_is_there(setup)
            raise
        finish(setup)


def choose_shard(settings: Settings) -> Shard:
    """The part of the images that this process does: the one that torchrun or `--shard` names, or all."""
    launched = launched_shard()
    if launched and settings.shard.count > 1:
        raise SetupError('torchrun and --shard exclude each other: torchrun makes the shards itself')
    if launched and settings.engine == 'ray':
        raise SetupError('torchrun and --engine ray exclude each other: Ray starts the processes itself')
    return launched or settings.shard


def set_up(settings: Settings, plan: Plan, shard: Shard) -> Setup:
    """Load the model, and make everything else that depends on the settings."""
    from solo_bg.runs import assemble, provenance

    assemble.set_threads(settings.threads, shard)
    source = assemble.make_source(settings, plan.annotations)
    options = assemble.make_options(settings, assemble.make_fill(settings, plan.images), source.device)
    dataset = assemble.describe_dataset(options, plan.annotations, source)
    facts = provenance.describe(settings, source, options)
    facts |= {'shards': shard.count, 'inputs': len(set(plan.inputs(shard)))}
    if plan.annotations:
        facts['missing'] = plan.missing
    if shard.count > 1:
        facts['dataset'] = dataset  # for the merge
    return Setup(settings, plan, shard, source, options, dataset, facts)


@contextmanager
def open_journal(setup: Setup) -> Iterator[Journal]:
    """Open the journal, settle what earlier runs left in all journals, and write run.json.

    Under torchrun, the first process does so while the others wait, because it may change or delete any file there.
    """
    from solo_bg.runs import outfolder, provenance
    from solo_bg.runs.journal import Journal
    from solo_bg.runs.run_files import read_runs, write_run

    out, plan, shard, facts = setup.settings.out, setup.plan, setup.shard, setup.facts
    if not shard.prepares:
        shard.wait()
    before = read_runs(out)
    for change in provenance.what_changed(before, facts):
        log.warning('%s; masks may differ by a few pixels', change)
    with closing(Journal(out, facts['key'], shard)) as journal:
        if shard.prepares:
            outputs = plan.outputs(setup.options)
            same = all(run.get('key') == facts['key'] for run in before)
            outfolder.settle(journal, set(plan.inputs(WHOLE)), outputs, same, shard)
            shard.wait()
        shard.wait()  # until every process has read the earlier run files
        write_run(out, facts, shard)
        yield journal


def make_records(setup: Setup, journal: Journal, on_frame: OnFrame | None) -> Iterator[Record]:
    """Records of this shard's inputs: first those that are not processed, then the others, here or on Ray."""
    from solo_bg import clips

    settings, plan, shard = setup.settings, setup.plan, setup.shard
    yield from (record for record in plan.unmatched if shard.owns(record.input))
    if settings.engine == 'ray':
        yield from start_ray(settings, plan, journal)
        return
    mine = [(image, name) for image, name in zip(plan.images, plan.names, strict=True) if shard.owns(image.shown)]
    images, names = [image for image, _ in mine], [name for _, name in mine]
    yield from clips.run(images, setup.source, setup.options, plan.labels, names, journal, on_frame)


def start_ray(settings: Settings, plan: Plan, journal: Journal) -> Iterator[Record]:
    try:
        from solo_bg.runs import ray_engine
    except ImportError as error:
        raise SetupError(f'--engine ray needs Ray ({error}); pip install "solo_bg[ray]"') from error
    return ray_engine.run(settings, plan, journal)


def report_what_is_there(setup: Setup) -> None:
    """Write the report of a run that was stopped. Does nothing for a shard, whose merge writes the report."""
    from solo_bg.runs.manifest import read_journals
    from solo_bg.runs.report.write import write_report

    if setup.shard.count > 1:
        return
    with suppress(ImageError, SetupError), closing(read_journals(setup.settings.out)) as contents:
        write_report(setup.settings.out, setup.facts, contents.records())


def finish(setup: Setup) -> None:
    """Write the sorted manifest and the report, or leave that to the merge of the shards; then mark the run as ended.

    Raises:
        SetupError: records are missing, because another process has changed the journal.
    """
    from solo_bg.runs import manifest, provenance
    from solo_bg.runs.journal import MANIFEST, count_records
    from solo_bg.runs.merge import merge
    from solo_bg.runs.report.write import write_report
    from solo_bg.runs.run_files import write_run

    out, shard, facts = setup.settings.out, setup.shard, setup.facts
    if shard.count == 1:
        statuses = manifest.finish(out, 1, setup.dataset)
        held = statuses.total() - statuses[manifest.LOST]
    else:
        held = count_records(out / shard.name(MANIFEST))
    if held < facts['inputs']:
        raise SetupError(
            f'{out} holds the records of {held} of {facts["inputs"]} inputs, because another process has changed them; '
            'run again with --resume'
        )
    facts = facts | {'end': provenance.now()}
    if shard.count == 1:
        with (out / MANIFEST).open('rb') as lines:
            write_report(out, facts, lines)
    write_run(out, facts, shard)
    shard.wait()
    if shard.launched and shard.index == 0:
        _, unfinished = merge(out)
        for name in unfinished:
            log.warning('%s has not ended; run it with --resume, then merge again', name)
