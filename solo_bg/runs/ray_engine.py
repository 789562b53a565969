"""`--engine ray`: process the images of one run with Ray Data's actor pool, on one machine or several.

Each actor has a model of its own and writes pictures to the output folder, which all machines must share. This process
writes the journal, as the records arrive.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from solo_bg import clips
from solo_bg.errors import SetupError, is_fatal
from solo_bg.records import EarlierResults, Record
from solo_bg.runs import assemble, provenance
from solo_bg.runs.journal import Journal
from solo_bg.runs.shards import WHOLE

if TYPE_CHECKING:
    from solo_bg.runs.plan import Plan
    from solo_bg.runs.settings import Settings

IMAGES_PER_TASK = 16  # an actor takes so many at a time, and so many are done again if it dies
ATTEMPTS = 3


def run(settings: Settings, plan: Plan, journal: Journal) -> Iterator[Record]:
    """Process all images; yield their records, in any order.

    An actor that dies is replaced. Its images are tried again, each in a task of its own, and those that are left once
    more, each with an actor of its own: Ray also fails tasks that wait for an actor which restarts. Images that are
    left then are errors.

    Raises:
        SetupError: there is no Ray at `settings.ray_address`, or the actors would produce other results than this
            process.
    """
    connect(settings.ray_address)
    names_of_fills = {absolute_fill(name): name for name, _ in settings.mix or ()}
    settings, plan = absolute(settings, plan)
    names = {image.shown: index for index, image in enumerate(plan.images)}
    left = set(names)
    for attempt in range(ATTEMPTS):
        indices = sorted(names[name] for name in left)
        for group in [indices] if attempt < ATTEMPTS - 1 else [[index] for index in indices]:
            for record in run_once(settings, plan, journal, group, alone=attempt > 0):
                left.discard(record.input)
                yield replace(record, fill=names_of_fills.get(record.fill or '', record.fill))
        if not left:
            return
    for name in sorted(left):
        yield Record(name, 'error', error=f'the process that worked on it died, {ATTEMPTS} times')


def connect(address: str | None) -> None:
    logging.getLogger('ray.data').setLevel(logging.ERROR)
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level='ERROR')
    except (ConnectionError, ValueError) as error:
        raise SetupError(f'no Ray at {address}: {error}; start one with `ray start --head`') from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's handler would end the run without a message
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a failed task does not end the run: its images are missing, and tried again


def absolute(settings: Settings, plan: Plan) -> tuple[Settings, Plan]:
    """The same settings and images with absolute paths: actors have another working directory. `shown` stays."""
    given: dict[str, Any] = {'out': settings.out.resolve(), 'ann': settings.ann and settings.ann.resolve()}
    if settings.fill:
        given['fill'] = absolute_fill(settings.fill)
    if settings.mix:
        given['mix'] = [(absolute_fill(name), weight) for name, weight in settings.mix]
    for name in ('config', 'checkpoint'):
        if (path := Path(getattr(settings, name))).is_file():
            given[name] = str(path.resolve())
    images = [replace(image, path=image.path.absolute()) for image in plan.images]
    return replace(settings, **given), replace(plan, images=images)


def absolute_fill(name: str) -> str:
    return f'dir:{Path(name.removeprefix("dir:")).resolve()}' if name.startswith('dir:') else name


def run_once(settings: Settings, plan: Plan, journal: Journal, indices: Iterable[int], alone: bool) -> Iterator[Record]:
    """Process the images at these indices. Images of a task that fails get no record."""
    gpus, each = int(ray.cluster_resources().get('GPU', 0)), settings.threads or 1
    count = gpus if gpus and settings.device != 'cpu' else max(1, int(ray.cluster_resources()['CPU']) // each)
    resources: dict[str, Any] = {'num_gpus': 1} if gpus and settings.device != 'cpu' else {'num_cpus': each}
    indices = list(indices)
    known = (next(journal.found(plan.images[index].shown), None) for index in indices)
    items = [
        {'index': index, 'known': pickle.dumps(record and replace(record, carried=None))}
        for index, record in zip(indices, known, strict=True)
    ]
    size = 1 if alone else IMAGES_PER_TASK  # alone, an image that kills its actor harms no other image
    data = ray.data.from_items(items, override_num_blocks=-(-len(items) // size)).map_batches(
        Actor,
        fn_constructor_args=(settings, plan, journal.run_key, sys.path),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(count, -(-len(items) // size))),
        ray_remote_args_fn=lambda: {'max_restarts': -1, 'max_task_retries': 0},  # Ray would retry for ever
        **resources,
    )
    for row in data.iter_rows():
        record = pickle.loads(row['record'])
        if isinstance(record, SetupError):
            raise record
        yield (journal.find(record.input, record.key) or record) if record.before else record  # with its annotations


class Actor:
    """A model with the pipeline around it, in a process of its own.

    A SetupError travels to the driver among the records, because an exception would be one of Ray's there.
    """

    def __init__(self, settings: Settings, plan: Plan, run_key: str, search_path: Sequence[str]) -> None:
        sys.path += [folder for folder in search_path if folder not in sys.path]  # for a source of the user's own
        self.plan, self.run_key = plan, run_key
        self.error: SetupError | None = None
        try:
            self.load_model(settings)
        except SetupError as error:
            self.error = error

    def load_model(self, settings: Settings) -> None:
        assemble.set_threads(settings.threads or 1, WHOLE)
        self.source = assemble.make_source(settings, self.plan.annotations)
        fill = assemble.make_fill(settings, self.plan.images)
        self.options = assemble.make_options(settings, fill, self.source.device)
        if provenance.describe(settings, self.source, self.options)['key'] != self.run_key:
            raise SetupError(
                'the machines of Ray would produce other results than this one; set --device, --precision, '
                '--backend and --batch-size, and use the same files on all of them'
            )

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[bytes]]:
        return {'record': [pickle.dumps(record) for record in self.process(batch)]}

    def process(self, batch: dict[str, np.ndarray[Any, Any]]) -> list[Record] | list[SetupError]:
        """The records of these images, or the error that ends the run."""
        if self.error:
            return [self.error]
        images = [self.plan.images[index] for index in batch['index']]
        names = [self.plan.names[index] for index in batch['index']]
        known = [pickle.loads(record) for record in batch['known']]
        earlier = EarlierResults(self.run_key, {record.input: record for record in known if record})
        try:
            return list(clips.run(images, self.source, self.options, self.plan.labels, names, earlier))
        except SetupError as error:
            return [error]
        except RuntimeError as error:
            if is_fatal(error):  # this process has lost its device; Ray starts another one
                os._exit(1)
            raise
