"""Options of the pipeline: what to keep of each image, what to draw, and how to write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.disk.formats import CRF, MAX_PIXELS
from solo_bg.draw.backgrounds import zero
from solo_bg.draw.styles import MASK_STYLES

VIDEO_FORMATS = {'cutout': 'webm', 'labels': 'mkv'}  # styles that an MP4 cannot hold: alpha, and 16 bits

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
        frames: of a video, write every n-th frame as a picture; None: write videos.
        smooth: number of frames over which masks are steadied; 1: each frame is taken by itself.
        crf: quality of videos, from 0 (lossless) to 51.
        annotate: list the predictions for annotations.json.
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
    frames: int | None = None
    smooth: int = 1
    crf: int = CRF
    annotate: bool = True

    def output(self, style: str, name: str) -> str:
        """The path of one picture, relative to `out`."""
        lossy_alpha = style == 'cutout' and self.format == 'jpg'
        return f'{style}/{name}.{"png" if style in MASK_STYLES or lossy_alpha else self.format}'

    def video_output(self, style: str, name: str) -> str:
        """The path of one video, relative to `out`."""
        return f'{style}/{name}.{VIDEO_FORMATS.get(style, "mp4")}'
