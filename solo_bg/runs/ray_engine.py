"""`--engine ray`: the images of one run on Ray Data's actor pool, one model an actor, on one machine or several.

The actors write the pictures, to an OUT that all machines see; the journal is written here, as their records arrive.
"""

from __future__ import annotations

import logging
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

from solo_bg import pipeline
from solo_bg.errors import SetupError
from solo_bg.records import EarlierResults, Record
from solo_bg.runs import assemble, provenance
from solo_bg.runs.journal import Journal
from solo_bg.runs.shards import WHOLE

if TYPE_CHECKING:
    from solo_bg.runs.run import Plan
    from solo_bg.runs.settings import Settings

IMAGES_A_TASK = 16  # what an actor takes at a time; as much is done again if it dies
ATTEMPTS = 2


def run(settings: Settings, plan: Plan, journal: Journal) -> Iterator[Record]:
    """Do all images; yield what became of each, in any order.

    An actor that dies is replaced, and its images are done once more; those that it takes with it again are errors.

    Raises:
        SetupError: there is no Ray at `settings.ray_address`, or the actors cannot do what this process would.
    """
    connect(settings.ray_address)
    settings, plan = absolute(settings, plan)
    names = {image.shown: index for index, image in enumerate(plan.images)}
    left = set(names)
    for attempt in range(ATTEMPTS):
        for record in run_once(settings, plan, journal, sorted(names[name] for name in left), alone=attempt > 0):
            left.discard(record.input)
            yield record
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
        signal.signal(signal.SIGTERM, before)  # Ray's own would end the run without a word
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a task that fails is no end of the run: its images are missing, and done again


def absolute(settings: Settings, plan: Plan) -> tuple[Settings, Plan]:
    """The same settings and images for processes with another working directory. Names in the manifest stay."""
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
    """Images by their index, through the pool; those of a task that fails do not come back."""
    gpus, each = int(ray.cluster_resources().get('GPU', 0)), settings.threads or 1
    count = gpus if gpus and settings.device != 'cpu' else max(1, int(ray.cluster_resources()['CPU']) // each)
    resources: dict[str, Any] = {'num_gpus': 1} if gpus and settings.device != 'cpu' else {'num_cpus': each}
    indices = list(indices)
    known = (next(journal.found(plan.images[index].shown), None) for index in indices)
    items = [
        {'index': index, 'known': pickle.dumps(record and replace(record, carried=None))}
        for index, record in zip(indices, known, strict=True)
    ]
    size = 1 if alone else IMAGES_A_TASK  # an image that kills takes no other with it
    data = ray.data.from_items(items, override_num_blocks=-(-len(items) // size)).map_batches(
        Actor,
        fn_constructor_args=(settings, plan, journal.run_key, sys.path),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(count, -(-len(items) // size))),
        ray_remote_args_fn=lambda: {'max_restarts': -1, 'max_task_retries': 0},  # Ray itself would retry for ever
        **resources,
    )
    for row in data.iter_rows():
        record = pickle.loads(row['record'])
        yield (journal.find(record.input, record.key) or record) if record.before else record  # with its annotations


class Actor:
    """One model, and the pipeline around it."""

    def __init__(self, settings: Settings, plan: Plan, run_key: str, search_path: Sequence[str]) -> None:
        sys.path += [folder for folder in search_path if folder not in sys.path]  # for a source of the user's own
        self.plan, self.run_key = plan, run_key
        assemble.set_threads(settings.threads or 1, WHOLE)
        self.source = assemble.make_source(settings, plan.annotations)
        fill = assemble.make_fill(settings, plan.images)
        self.options = assemble.make_options(settings, fill, self.source.device)
        if provenance.describe(settings, self.source, self.options)['key'] != run_key:
            raise SetupError(
                'Ray computes elsewhere in another way than here; give --device, --precision, --batch-size'
            )

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[bytes]]:
        images = [self.plan.images[index] for index in batch['index']]
        names = [self.plan.names[index] for index in batch['index']]
        known = [pickle.loads(record) for record in batch['known']]
        earlier = EarlierResults(self.run_key, {record.input: record for record in known if record})
        records = pipeline.run(images, self.source, self.options, self.plan.labels, names, earlier)
        return {'record': [pickle.dumps(record) for record in records]}
