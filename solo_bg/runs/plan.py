"""What a run will do: which images, under which names, with which annotations. Writes nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.draw.styles import PART_STYLES, STYLE_NAMES
from solo_bg.errors import SetupError
from solo_bg.records import Record
from solo_bg.runs.settings import Settings
from solo_bg.runs.shards import Shard, launched_shard

if TYPE_CHECKING:
    from solo_bg.coco.dataset import Annotations, Labels
    from solo_bg.coco.match import Matches
    from solo_bg.disk.inputs import ImageFile
    from solo_bg.options import Options

log = logging.getLogger('solo_bg')


@dataclass(frozen=True)
class Plan:
    """The inputs of a run.

    Attributes:
        images: the images to process, ordered by name.
        names: names of their results, one for each image.
        annotations, labels: the data set, and its entries for these images; None without annotations.
        unmatched: records of inputs that are not processed: images that the annotations lack, or match more than once,
            and with `--strict` the images that only the annotations name.
        missing: number of images that only the annotations name.
    """

    images: Sequence[ImageFile]
    names: Sequence[str]
    annotations: Annotations | None
    labels: Labels | None
    unmatched: Sequence[Record]
    missing: int = 0

    def inputs(self, shard: Shard) -> list[str]:
        """The inputs of a shard, by their names in the manifest. Each gets one record."""
        names = [*(record.input for record in self.unmatched), *(image.shown for image in self.images)]
        return [name for name in names if shard.owns(name)]

    def outputs(self, options: Options) -> Iterator[str]:
        """Paths of all pictures and videos that the run may write, but for frames, relative to the output folder."""
        for image, name in zip(self.images, self.names, strict=True):
            output = options.video_output if image.is_video else options.output
            yield from (output(style, name) for style in options.styles)


def make_plan(settings: Settings) -> Plan:
    """List the images, and match them with the annotations.

    Raises:
        SetupError: no images, annotations or fills that cannot be read, or results that would replace inputs.
    """
    from solo_bg.coco.dataset import Annotations, Labels
    from solo_bg.disk.inputs import find_images
    from solo_bg.disk.output_names import THUMBNAILS, output_names
    from solo_bg.runs.assemble import check_fills
    from solo_bg.runs.report.files import FOLDER

    if launched_shard() and '-' in settings.inputs:
        raise SetupError(
            'torchrun and a list from standard input exclude each other: each process would get a part; use @list.txt'
        )
    own = [os.path.abspath(settings.out / folder) for folder in (*STYLE_NAMES, THUMBNAILS)]
    listing = find_images(settings.inputs, own, (*STYLE_NAMES, FOLDER))
    images, given = listing.images, ', '.join(settings.inputs)
    if not any(image.is_pipe or os.path.lexists(image.path) for image in images):
        raise SetupError(listing.why_nothing(settings.inputs))
    for note in listing.notes():
        log.warning('%s', note)
    check_fills(settings)
    parts = [style for style in settings.styles if style in PART_STYLES]
    if parts and not settings.frames and any(image.is_video for image in images):
        raise SetupError(f'--styles {",".join(parts)} makes several pictures of an image, no video; give --frames all')
    annotations = Annotations.from_file(settings.ann) if settings.ann else None
    images, matches, unmatched = match(images, annotations)
    images = images[: settings.limit]
    hints = list(matches.hints.values()) if matches else []
    if not images:
        raise SetupError('; '.join([f'none of the images in {given} is in {settings.ann}', *hints[:1]]))
    if hints:
        log.warning('%s%s', hints[0], f' (and {len(hints) - 1} more)' if len(hints) > 1 else '')
    labels = Labels(annotations, matches.found) if annotations and matches else None
    missing = [record for record in unmatched if record.status == 'missing']
    if not settings.strict:
        unmatched = [record for record in unmatched if record.status != 'missing']
    plan = Plan(images, output_names(images), annotations, labels, unmatched, len(missing))
    refuse_overwriting(plan, settings)
    return plan


def match(
    images: list[ImageFile], annotations: Annotations | None
) -> tuple[list[ImageFile], Matches | None, list[Record]]:
    """The images to process, their annotations, and records of images and annotations without a counterpart.

    A path that does not exist stays among the images: it is reported when it is read.
    """
    if not annotations:
        return images, None, []
    paths = {image.shown: Path(os.path.abspath(image.path)).as_posix() for image in images}
    matches = annotations.match({image.shown: image.below.as_posix() for image in images}, paths)
    unknown, ambiguous = set(matches.unknown), set(matches.ambiguous)
    unlabelled = {image.shown for image in images if image.shown in unknown and os.path.isfile(image.path)}
    records = [Record(shown, 'unlabelled') for shown in sorted(unlabelled)]
    several = 'has the same path below INPUT as another image, but the annotations list this path once'
    records += [Record(shown, 'error', error=several) for shown in sorted(ambiguous)]
    absent = 'is in the annotations, but there is no such image'
    hints = {name: f'{absent}; {hint}' for name, hint in matches.hints.items()}
    records += [Record(name, 'missing', error=hints.get(name, absent)) for name in matches.missing]
    return [image for image in images if image.shown not in unlabelled | ambiguous], matches, records


def refuse_overwriting(plan: Plan, settings: Settings) -> None:
    """Raise SetupError if a result would replace an input."""
    from solo_bg.runs.assemble import make_options
    from solo_bg.runs.journal import ANNOTATIONS

    options = make_options(settings)
    if settings.ann and os.path.realpath(settings.ann) == os.path.realpath(options.out / ANNOTATIONS):
        raise SetupError(f'the annotations of the results would replace {settings.ann}; choose another --out')
    out = os.path.join(os.path.realpath(options.out), '')
    given = {path for image in plan.images if (path := os.path.realpath(image.path)).startswith(out)}
    if not given:
        return
    folders = [os.path.join(out, style, '') for style in options.styles if style in PART_STYLES]
    if inside := [path for path in sorted(given) for folder in folders if path.startswith(folder)]:
        raise SetupError(f'results might replace the input {inside[0]}; choose another --out')
    for output in plan.outputs(options):
        if os.path.realpath(options.out / output) in given:
            raise SetupError(f'the result {output} would replace an input; choose another --out')
