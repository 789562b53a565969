"""Instances that an mmdet model finds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from solo_bg.sources.base import InputImage, Source, SourceSettings
from solo_bg.sources.tiled import Tiled

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances
    from solo_bg.models.segmenter import Segmenter


class Detector(Source):
    """A `Segmenter`: a config and a checkpoint of mmdet's."""

    needs_model = True
    takes_tiles = True

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.class_names = segmenter.class_names
        self.device = str(segmenter.device)

    @classmethod
    def build(cls, settings: SourceSettings) -> Detector:
        from solo_bg.models.find import own_device
        from solo_bg.models.segmenter import Segmenter

        segmenter = Segmenter(
            settings.config,
            settings.checkpoint,
            own_device(settings.device),
            settings.cfg_options,
            precision=settings.precision,
            lazy=not settings.stock_head,
            trust_checkpoint=settings.trust_checkpoint,
            backend=settings.backend,
        )
        return cls(segmenter)

    def describe(self) -> dict[str, Any]:
        return self.segmenter.describe()

    def in_tiles(self, side: int, overlap: int) -> Source:
        return Tiled(self, side, overlap)

    def prepare(self, image: InputImage) -> InputImage:
        return image.with_prepared(self.segmenter.prepare(image.pixels))

    def batch_shape(self, image: InputImage) -> Hashable:
        return self.segmenter.padded_shape(image.prepared['inputs']) if image.prepared else image.pixels.shape[:2]

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        return self.segmenter.segment([image.prepared or self.segmenter.prepare(image.pixels) for image in images])
