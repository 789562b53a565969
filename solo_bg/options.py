"""Options of the pipeline: what to keep of each image, what to draw, and how to write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.disk.formats import MAX_PIXELS
from solo_bg.draw.backgrounds import zero
from solo_bg.draw.styles import ALPHA_STYLES, MASK_STYLES, PART_STYLES

if TYPE_CHECKING:
    from solo_bg.draw.fills import Fill
    from solo_bg.draw.refine import Refine


@dataclass(frozen=True)
class Options:
    """What the pipeline does with each image. The command's `--help` says what each option means.

    Attributes:
        out: the folder of the results.
        fill: what the background becomes, as a function (see `solo_bg.draw.fills`).
        min_recall: None: the default of `missed`, see `solo_bg.coco.carry_over.MIN_RECALL`.
        refine: makes alpha and the foreground's colours (see `solo_bg.draw.refine`), or None.
        soft: fade `eliminated` into the background by alpha, instead of cutting it at the masks' edge.
        batch_size: images in one call of the mask source.
        workers: threads that read, compose and write.
        max_pixels: larger images are errors.
    """

    out: Path
    styles: Sequence[str] = ('eliminated', 'overlay')
    score_thr: float = 0.3
    classes: Sequence[str] | None = None
    sort_by_density: bool = False
    on_empty: str = 'skip'
    fill: Fill = zero
    refine: Refine | None = None
    soft: bool = False
    dilate: int = 0
    seed: int = 0
    missed: str = 'keep'
    min_recall: float | None = None
    min_iou: float = 0.0
    segmentation: str = 'rle'
    batch_size: int = 1
    workers: int = 2
    max_pixels: int = MAX_PIXELS
    format: str = 'png'
    quality: int = 95

    def output(self, key: str, name: str) -> str:
        """The path of one file, relative to `out`.

        Args:
            key: as in `Record.outputs`: a style, or `style/number` for one part of it. Without a number, a style of
                PART_STYLES stands for its index of the image.
        """
        style, _, number = key.partition('/')
        if style in PART_STYLES and not number:
            return f'{style}/{name}.jsonl'
        return f'{style}/{name}{number and "_" + number}.{self.suffix(style)}'

    def suffix(self, style: str) -> str:
        """The file format of a style's pictures."""
        lossy_alpha = style in ALPHA_STYLES and self.format == 'jpg'
        return 'png' if style in MASK_STYLES or lossy_alpha else self.format
