"""Options of the pipeline: what to keep of each image, what to draw, and how to write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solo_bg.disk.formats import CRF, MAX_PIXELS
from solo_bg.draw.backgrounds import zero
from solo_bg.draw.styles import ALPHA_STYLES, MASK_STYLES, PART_STYLES

VIDEO_FORMATS = {'cutout': 'webm', 'labels': 'mkv'}  # styles that an MP4 cannot hold: alpha, and 16 bits

if TYPE_CHECKING:
    from solo_bg.draw.fills import Fill
    from solo_bg.draw.refine import Refine


@dataclass(frozen=True)
class Options:
    """What the pipeline does with each image. The command's `--help` says what each option means.

    Attributes:
        out: the folder of the results.
        styles: names of `solo_bg.draw.styles.STYLES` and `PART_STYLES`.
        score_thr: keep instances with score > this, from 0 to 1.
        classes: class names to keep; None: all.
        sort_by_density: order instances by mask area, smallest first; the first one is drawn on top.
        on_empty: for an image without instances: `skip`, `black` or `copy`.
        fill: what the background becomes, as a function (see `solo_bg.draw.fills`).
        refine: makes alpha and the foreground's colours (see `solo_bg.draw.refine`), or None.
        soft: fade `eliminated` into the background by alpha, instead of cutting it at the masks' edge.
        dilate: margin around the masks, in pixels.
        seed: random seed of the fills, combined with the file name.
        missed: for annotated objects that the masks miss: `keep`, `ignore` or `drop`.
        min_recall: an object is missed if less than this share of its pixels stays, from 0 to 1; None: the default of
            `missed`, see `solo_bg.coco.carry_over.MIN_RECALL`.
        min_iou: reject images whose masks have a lower IoU with the annotations, from 0 to 1.
        segmentation: form of the predicted masks in annotations.json: `rle` or `polygon`.
        batch_size: images in one call of the mask source.
        workers: threads that read, compose and write.
        max_pixels: images with more pixels are errors.
        format, quality: of the pictures: `png`, `jpg` or `webp`, and JPEG quality from 1 to 100.
        thumbnails: write a thumbnail of each image too, for the report (see `solo_bg.draw.thumbnails`).
        frames: write every n-th frame of a video as a picture; None: write videos.
        smooth: odd number of video frames over which masks are steadied; 1: they are not.
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
    thumbnails: bool = False
    frames: int | None = None
    smooth: int = 1
    crf: int = CRF
    annotate: bool = True

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

    def video_output(self, style: str, name: str) -> str:
        """The path of one video, relative to `out`."""
        return f'{style}/{name}.{VIDEO_FORMATS.get(style, "mp4")}'
