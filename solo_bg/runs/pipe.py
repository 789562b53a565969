"""One video to standard output, for the next program of a shell's pipeline. Writes no file."""

from __future__ import annotations

from typing import IO

from solo_bg.errors import SetupError
from solo_bg.records import Record
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import WHOLE


def stream(settings: Settings, file: IO[bytes]) -> Record:
    """Write the video that `settings` name to an open file, in the format that `settings.out` names.

    Raises:
        SetupError: nothing can start, or there is not one input, a video, and one style.
        ImageError: the video cannot be read or written.
    """
    from solo_bg import clips
    from solo_bg.disk.inputs import some
    from solo_bg.pipeline import Job
    from solo_bg.runs import assemble
    from solo_bg.runs.plan import make_plan

    check(settings)
    plan = make_plan(settings)
    if len(plan.images) != 1 or not plan.images[0].is_video:
        given = [image.shown for image in plan.images]
        raise SetupError(f'-o {settings.out} takes one video, got {some(given)}; choose a folder')
    assemble.set_threads(settings.threads, WHOLE)
    source = assemble.make_source(settings, None)
    options = assemble.make_options(settings, assemble.make_fill(settings, plan.images), source.device)
    return clips.stream(Job(plan.images[0], plan.names[0]), source, options, str(settings.out), file)


def check(settings: Settings) -> None:
    """Raise SetupError for options that need a folder."""
    if len(settings.styles) != 1 or settings.styles[0] == 'labels':
        styles = ','.join(settings.styles)
        raise SetupError(f'-o {settings.out} takes one style, and not labels, got {styles}; give --styles eliminated')
    used = {
        '--frames': settings.frames,
        '--ann': settings.ann,
        '--resume': settings.resume,
        '--overwrite': settings.overwrite,
        '--shard': settings.shard.count > 1,
        '--engine ray': settings.engine == 'ray',
    }
    if given := [name for name, is_used in used.items() if is_used]:
        raise SetupError(f'{", ".join(given)} needs a folder of results; got -o {settings.out}')
