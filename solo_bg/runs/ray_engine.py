"""`--engine ray`: the images of one run on Ray Data's actor pool, one model an actor, on one machine or several.

The actors write the pictures, to an OUT that all machines see; the journal is written here, as their records arrive.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from solo_bg import pipeline
from solo_bg.cli import assemble
from solo_bg.errors import SetupError
from solo_bg.runs import provenance
from solo_bg.runs.journal import Journal, Memory, Record
from solo_bg.runs.shards import WHOLE

if TYPE_CHECKING:
    from solo_bg.cli.main import Work

IMAGES_A_TASK = 16  # what an actor takes at a time; as much is done again if it dies
ATTEMPTS = 2


def run(args: argparse.Namespace, work: Work, journal: Journal) -> Iterator[Record]:
    """Do all images; yield what became of each, in any order.

    An actor that dies is replaced, and its images are done once more; those that it takes with it again are errors.

    Raises:
        SetupError: there is no Ray at `args.ray_address`, or the actors cannot do what this process would.
    """
    connect(args.ray_address)
    args, work = absolute(args, work)
    names = {image.shown: index for index, image in enumerate(work.images)}
    left = set(names)
    for attempt in range(ATTEMPTS):
        for record in run_once(args, work, journal, sorted(names[name] for name in left), alone=attempt > 0):
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


def absolute(args: argparse.Namespace, work: Work) -> tuple[argparse.Namespace, Work]:
    """The same words and images for processes that stand in another folder. What is shown stays."""
    given: dict[str, Any] = {'out': args.out.resolve(), 'ann': args.ann and args.ann.resolve()}
    if args.fill:
        given['fill'] = absolute_fill(args.fill)
    if args.mix:
        given['mix'] = [(absolute_fill(name), weight) for name, weight in args.mix]
    for name in ('config', 'checkpoint'):
        if (path := Path(getattr(args, name))).is_file():
            given[name] = str(path.resolve())
    images = [replace(image, path=image.path.absolute()) for image in work.images]
    return argparse.Namespace(**vars(args) | given), replace(work, images=images)


def absolute_fill(name: str) -> str:
    return f'dir:{Path(name.removeprefix("dir:")).resolve()}' if name.startswith('dir:') else name


def run_once(
    args: argparse.Namespace, work: Work, journal: Journal, indices: Iterable[int], alone: bool
) -> Iterator[Record]:
    """Images by their index, through the pool; those of a task that fails do not come back."""
    gpus, each = int(ray.cluster_resources().get('GPU', 0)), args.threads or 1
    count = gpus if gpus and args.device != 'cpu' else max(1, int(ray.cluster_resources()['CPU']) // each)
    resources: dict[str, Any] = {'num_gpus': 1} if gpus and args.device != 'cpu' else {'num_cpus': each}
    indices = list(indices)
    known = (next(journal.found(work.images[index].shown), None) for index in indices)
    items = [
        {'index': index, 'known': pickle.dumps(record and replace(record, carried=None))}
        for index, record in zip(indices, known, strict=True)
    ]
    size = 1 if alone else IMAGES_A_TASK  # an image that kills takes no other with it
    data = ray.data.from_items(items, override_num_blocks=-(-len(items) // size)).map_batches(
        Actor,
        fn_constructor_args=(args, work, journal.run_key),
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

    def __init__(self, args: argparse.Namespace, work: Work, run_key: str) -> None:
        self.work, self.run_key = work, run_key
        assemble.set_threads(args.threads or 1, WHOLE)
        segmenter = None if args.source == 'gt' else assemble.open_model(args)
        self.source = assemble.make_source(args, segmenter, work.annotations)
        on_cuda = segmenter is not None and segmenter.device.type == 'cuda'
        self.options = assemble.make_options(args, assemble.make_fill(args, work.images), on_cuda)
        if provenance.describe(args, segmenter, self.options)['key'] != run_key:
            raise SetupError(
                'Ray computes elsewhere in another way than here; give --device, --precision, --batch-size'
            )

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[bytes]]:
        images = [self.work.images[index] for index in batch['index']]
        names = [self.work.names[index] for index in batch['index']]
        known = [pickle.loads(record) for record in batch['known']]
        memory = Memory(self.run_key, {record.input: record for record in known if record})
        records = pipeline.run(images, self.source, self.options, self.work.labels, names, memory)
        return {'record': [pickle.dumps(record) for record in records]}
