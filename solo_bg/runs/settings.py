"""All options of a run over a folder, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from solo_bg.disk.formats import CRF, FORMATS, MAX_PIXELS
from solo_bg.draw.refine import read_refine_options
from solo_bg.draw.styles import STYLE_NAMES
from solo_bg.errors import SetupError
from solo_bg.runs.shards import WHOLE, Shard
from solo_bg.sources import choose_source
from solo_bg.sources.tiled import read_tiles

CHOICES = {
    'on_empty': ('skip', 'black', 'copy'),
    'missed': (None, 'keep', 'ignore', 'drop'),
    'segmentation': (None, 'rle', 'polygon'),
    'format': FORMATS,
    'precision': ('auto', 'fp32', 'bf16', 'fp16'),
    'backend': ('auto', 'torch', 'openvino'),
    'engine': ('local', 'ray'),
    'report': ('full', 'light', 'none'),
}
FRACTIONS = ('score_thr', 'min_recall', 'min_iou')  # the other numbers are whole
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(FRACTIONS, (0, 1)),
    **dict.fromkeys(('batch_size', 'workers', 'threads', 'limit', 'max_pixels', 'frames'), (1, math.inf)),
    **dict.fromkeys(('dilate', 'seed'), (0, math.inf)),
    'quality': (1, 100),
    'crf': (0, 51),
    'smooth': (1, 99),
}


def format_name(text: str) -> str:
    """A file format in any common spelling, as a name of FORMATS: `JPEG` and `.jpg` are `jpg`."""
    name = text.lower().removeprefix('.')
    return 'jpg' if name == 'jpeg' else name


@dataclass(frozen=True)
class Settings:
    """The options of the command, by the same names. `eliminate_bg --help` explains each of them.

    Attributes:
        inputs: image files, folders, or `@list.txt`.
        source: a name of `SOURCES`, or `module:Class`; None: the source that `config` selects, the detector by default.
        refine: a name of `REFINERS`; None: hard masks, or the alpha that the source gives.
        refine_options: the refiner's options; texts, or values of their types.
        fill, mix: names of fills; `mix` as (name, weight) pairs.
        batch_size: None: 1 on the CPU, 8 on CUDA.
        frames: write every n-th frame of a video as a picture; None: write videos.
        tiles: `SIZE` or `SIZE:OVERLAP`, see `solo_bg.sources.tiled.read_tiles`; None: the image as a whole.
        threads: CPU threads of the model; None: torch's choice.

    Raises:
        SetupError: a value that is not allowed, options that exclude each other, or one that needs another.
    """

    inputs: Sequence[str]
    config: str = ''
    checkpoint: str = ''
    out: Path = Path('out')
    source: str | None = None
    source_options: Mapping[str, str] = field(default_factory=dict)
    score_thr: float = 0.3
    classes: Sequence[str] | None = None
    sort_by_density: bool = False
    on_empty: str = 'skip'
    ann: Path | None = None
    strict: bool = False
    missed: str | None = None
    min_recall: float | None = None
    min_iou: float | None = None
    segmentation: str | None = None
    styles: Sequence[str] = ('eliminated', 'overlay')
    format: str = 'png'
    quality: int = 95
    frames: int | None = None
    smooth: int = 1
    crf: int = CRF
    refine: str | None = None
    refine_options: Mapping[str, Any] = field(default_factory=dict)
    soft: bool = False
    fill: str | None = None
    mix: Sequence[tuple[str, float]] | None = None
    dilate: int = 0
    seed: int = 0
    device: str = 'auto'
    precision: str = 'auto'
    backend: str = 'auto'
    stock_head: bool = False
    batch_size: int | None = None
    workers: int = os.cpu_count() or 1
    threads: int | None = None
    trust_checkpoint: bool = False
    cfg_options: Sequence[str] = ()
    tiles: str | None = None
    max_pixels: int = MAX_PIXELS
    limit: int | None = None
    resume: bool = False
    overwrite: bool = False
    report: str = 'full'
    shard: Shard = WHOLE
    engine: str = 'local'
    ray_address: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'format', format_name(self.format))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                known = ', '.join(str(one) for one in allowed if one)
                raise SetupError(f'{name} expected one of {known}, got {getattr(self, name)!r}')
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            kind = Real if name in FRACTIONS else Integral
            if value is not None and not (isinstance(value, kind) and least <= float(value) <= most):
                number = 'number' if name in FRACTIONS else 'whole number'
                raise SetupError(f'{name} expected a {number} {describe_range(least, most)}, got {value!r}')
        self._check_pairs()
        if unknown := [style for style in self.styles if style not in STYLE_NAMES]:
            raise SetupError(f'no style named {", ".join(unknown)}; the styles are {", ".join(STYLE_NAMES)}')
        _, source = choose_source(self.source, self.config)
        if source.needs_model and not (self.config and self.checkpoint):
            raise SetupError('this source needs a config and a checkpoint')
        if self.tiles:
            read_tiles(self.tiles)
            if not source.takes_tiles:
                raise SetupError(f'--tiles is for the sources model and union, not for {self.source or self.config}')
        if self.refine:
            read_refine_options(self.refine, self.refine_options)
        self._check_annotations(source.needs_annotations)
        self._check_exclusions()

    def _check_pairs(self) -> None:
        """The command parses these texts before; from Python they are objects."""
        pairs = self.mix if isinstance(self.mix, (list, tuple)) else []
        if self.mix and not (pairs and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs)):
            raise SetupError(f"mix expected pairs such as [('zero', 0.5), ('noise', 0.5)], got {self.mix!r}")
        if not isinstance(self.shard, Shard):
            raise SetupError(f'shard expected a solo_bg.runs.shards.Shard such as Shard(0, 4), got {self.shard!r}')

    def _check_annotations(self, needed: bool) -> None:
        given = {
            f'--source {self.source}': needed,
            '--missed': self.missed is not None,
            '--min-recall': self.min_recall is not None,
            '--min-iou': self.min_iou is not None,
            '--strict': self.strict,
        }
        if not self.ann and (wanting := [name for name, used in given.items() if used]):
            raise SetupError(f'{", ".join(wanting)} needs --ann, the annotations of the images')

    def _check_exclusions(self) -> None:
        sharded, on_ray = self.shard.count > 1, self.engine == 'ray'
        conflicts = {
            '--fill and --mix exclude each other: --mix names the fills and their weights': self.fill and self.mix,
            '--shard and --engine ray exclude each other: Ray splits the images itself': sharded and on_ray,
            '--refine-options needs --refine': self.refine_options and not self.refine,
            '--ray-address needs --engine ray': self.ray_address and not on_ray,
            '--segmentation is for predictions; with --ann, annotations keep what they have': (
                self.segmentation and self.ann
            ),
            f'--smooth expected an odd number of frames, got {self.smooth}': self.smooth % 2 == 0,
            '--resume and --overwrite exclude each other': self.resume and self.overwrite,
            '--overwrite would delete what other shards write; delete the results once, then start the shards': (
                sharded and self.overwrite
            ),
        }
        for message, applies in conflicts.items():
            if applies:
                raise SetupError(message)


def describe_range(least: float, most: float) -> str:
    return f'from {least} to {most}' if most < math.inf else f'of at least {least}'
