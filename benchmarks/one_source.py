"""The process of one way of `run.py sources`: python benchmarks/one_source.py WORK JOB, both of them texts.

JOB is JSON; so is the result, which is the last line printed. Each way has a process of its own, so that its memory is
its own. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

Job = dict[str, Any]


def peak() -> float:
    """The most megabytes that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def segment(job: Job) -> Job:
    """Find the foreground of each photograph.

    Args:
        job: `source`, `settings` (of `SourceSettings`), `refine` (a name, or ''), `photos` (paths) and `out`. For each
            photograph `out/N.npz` gets its cut-out, uint8 (H, W, 4), BGRA; its mask, bool (H, W); and the mask of its
            persons, or of everything where the source knows no persons.

    Returns:
        `seconds` of the processor for each photograph, from pixels to masks, and `peak` megabytes.
    """
    import numpy as np
    import torch

    from solo_bg import InputImage
    from solo_bg.disk.read import read_image
    from solo_bg.draw.compose import cutout
    from solo_bg.draw.refine import load_refiner
    from solo_bg.sources import load_source
    from solo_bg.sources.base import SourceSettings

    torch.set_num_threads(1)
    source = load_source(job['source']).build(SourceSettings(**job['settings']))
    refine = load_refiner(job['refine'], {}) if job['refine'] else None
    seconds = []
    for index, path in enumerate([job['photos'][0], *job['photos']]):  # the first one warms up
        pixels = read_image(Path(path))
        colours = torch.from_numpy(pixels)
        start = time.process_time()
        found = source([source.prepare(InputImage(str(index), path, pixels))])[0]
        if source.has_scores:
            found = found.select(0.3)
        if refine:
            found, colours = refine(colours, found)
        mask = found.union.numpy()
        seconds.append(time.process_time() - start)
        persons = mask
        if 'person' in source.class_names:
            persons = found[[row for row, name in enumerate(found.names) if name == 'person']].union.numpy()
        np.savez(f'{job["out"]}/{index - 1}.npz', cutout=cutout(colours, found).numpy(), mask=mask, persons=persons)
    return {'seconds': seconds[1:], 'peak': peak()}


def fold(job: Job) -> Job:
    """Cut out photographs with solo_bg, from disk to disk.

    Args:
        job: `name` of a published network, `weights`, `photos`, `out`, `threads`, and `options` of `eliminate_folder`.

    Returns:
        `wall` and `cpu` seconds; megabytes: `half`, the peak after half of the photographs, and `peak`.
    """
    from solo_bg import eliminate_folder

    peaks: list[float] = []
    given = job['name'], job['weights']
    options: dict[str, Any] = {'styles': ['cutout'], 'device': 'cpu', 'threads': job['threads'], **job['options']}
    eliminate_folder(job['photos'][:1], *given, out=f'{job["out"]}-first', **options)  # imports what is needed
    start = time.perf_counter(), time.process_time()
    records = eliminate_folder(
        job['photos'], *given, out=job['out'], on_record=lambda record: peaks.append(peak()), **options
    )
    assert not any(record.error for record in records), records
    return since(start, peaks)


def fold_by_rembg(job: Job) -> Job:
    """The same with rembg, as its own command `rembg p` goes through a folder; it takes no `options`."""
    os.environ |= {'OMP_NUM_THREADS': str(job['threads']), 'U2NET_HOME': str(Path(job['weights']).parent)}
    import rembg

    peaks: list[float] = []
    Path(job['out']).mkdir()
    providers, first = ['CPUExecutionProvider'], Path(job['photos'][0]).read_bytes()
    rembg.remove(first, session=rembg.new_session(job['name'], providers=providers))
    start = time.perf_counter(), time.process_time()
    session = rembg.new_session(job['name'], providers=providers)
    for path in map(Path, job['photos']):
        picture = rembg.remove(path.read_bytes(), session=session)
        (Path(job['out']) / f'{path.stem}.png').write_bytes(picture)
        peaks.append(peak())
    return since(start, peaks)


def since(start: tuple[float, float], peaks: list[float]) -> Job:
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    return {'wall': wall, 'cpu': cpu, 'half': peaks[len(peaks) // 2], 'peak': peak()}


if __name__ == '__main__':
    work = {'segment': segment, 'fold': fold, 'fold_by_rembg': fold_by_rembg}[sys.argv[1]]
    print(json.dumps(work(json.loads(sys.argv[2]))))
