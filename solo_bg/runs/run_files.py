"""run.json: how the results were made. Each shard has a run file of its own until they are merged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solo_bg.disk.write import write_bytes
from solo_bg.errors import SetupError
from solo_bg.runs.journal import RUN
from solo_bg.runs.shards import WHOLE, Shard

SHARD_RUN = re.compile(r'run-\d{5,}-of-\d{5,}\.json')


def write_run(out: Path, facts: Mapping[str, Any], shard: Shard = WHOLE) -> None:
    """Write run.json, or the run file of a shard."""
    write_bytes(out / shard.name(RUN), (json.dumps(facts, indent=2) + '\n').encode())


def read_runs(out: Path) -> list[dict[str, Any]]:
    """The run files that `write_run` wrote, of the whole run and of shards."""
    paths = [*shard_runs(out), *(path for path in [out / RUN] if path.exists())]
    return [read_run(path) for path in paths]


def read_run(path: Path) -> dict[str, Any]:
    """One run file. Raises SetupError if it is damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f'{path} cannot be read: {error}; delete it, then run again with --resume') from error


def shard_runs(out: Path) -> list[Path]:
    """The run files of shards."""
    return sorted(path for path in out.glob('run-*.json') if SHARD_RUN.fullmatch(path.name))
