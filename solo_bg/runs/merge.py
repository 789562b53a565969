"""`--merge`: make one run of the runs of the shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from solo_bg.errors import SetupError
from solo_bg.runs.journal import MANIFEST, RUN, journals
from solo_bg.runs.manifest import Contents, finish, read_journals
from solo_bg.runs.report.write import write_report
from solo_bg.runs.run_files import read_run, shard_runs, write_run
from solo_bg.runs.shards import Shard, shard_index

Run = Mapping[str, Any]  # the contents of a run file


def merge(out: Path) -> tuple[Counter[str], list[str]]:
    """Make one run of those of the shards. Nothing changes before all shards have ended.

    It can be stopped at any moment and called again, also when nothing is left to merge.

    Returns:
        the number of inputs by status, and what has not ended.

    Raises:
        SetupError: there are no results in the folder, or the shards had different options.
    """
    there = {path: read_run(path) for path in shard_runs(out)}
    if not any(journals(out)):
        raise SetupError(f'{out} holds no results of shards; expected the --out that they had')
    last = read_run(out / RUN) if (out / RUN).exists() else {}
    if not there or (last.get('end') and not any(path.name != MANIFEST for path in journals(out))):
        for path in there:  # a merge was stopped before its last step
            path.unlink()
        return count_statuses(out), [] if last.get('end') else ['the run']
    latest = max(there.values(), key=lambda run: str(run['start']))
    shards = [Shard(index, latest['shards']) for index in range(latest['shards'])]
    begun = {shard: there[path] for shard in shards if (path := out / shard.name(RUN)) in there}
    if len({run['key'] for run in begun.values()}) > 1:
        raise SetupError(f'the shards in {out} had other options or another model; run each in the same way')
    with closing(read_journals(out, len(shards))) as contents:
        unfinished = find_unfinished(contents, shards, begun)
    if unfinished:
        return contents.statuses, unfinished
    statuses = finish(out, latest['shards'], latest['dataset'])
    facts = combine(latest, begun.values())
    with (out / MANIFEST).open('rb') as lines:
        write_report(out, facts, lines)
    write_run(out, facts)
    for path in there:
        path.unlink()
    return statuses, []


def find_unfinished(contents: Contents, shards: Sequence[Shard], begun: Mapping[Shard, Run]) -> list[str]:
    """The shards that have not ended, or whose records are not all there. `begun`: their run files."""
    held = Counter(shard_index(name, len(shards)) for name in contents.inputs)
    found = []
    for shard in shards:
        run = begun.get(shard, {})
        if not run.get('end'):
            found.append(str(shard))
        elif held[shard.index] < run.get('inputs', 0):
            found.append(f'{shard} (there are records of {held[shard.index]} of its {run["inputs"]} inputs)')
    return found


def combine(latest: Run, begun: Collection[Run]) -> dict[str, Any]:
    """The contents of run.json for a merged run."""
    facts = {name: value for name, value in latest.items() if name != 'dataset'}
    start, end = min(run['start'] for run in begun), max(run['end'] for run in begun)
    return facts | {'start': start, 'end': end, 'inputs': sum(run.get('inputs', 0) for run in begun)}


def count_statuses(out: Path) -> Counter[str]:
    """The number of inputs by status in all journals."""
    with closing(read_journals(out)) as contents:
        return contents.statuses
