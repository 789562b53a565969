"""Instances that a model finds, joined with those that are annotated."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from solo_bg.sources.base import InputImage, Source, SourceSettings
from solo_bg.sources.detector import Detector

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances


class Union(Source):
    """Another source's instances, then the annotated ones."""

    needs_model = True
    needs_annotations = True
    takes_tiles = True

    def __init__(self, source: Source, class_names: Sequence[str]) -> None:
        self.source = source
        self.class_names = tuple(dict.fromkeys((*source.class_names, *class_names)))
        self.device = source.device

    @classmethod
    def build(cls, settings: SourceSettings) -> Union:
        return cls(Detector.build(settings), settings.annotated_classes)

    def describe(self) -> dict[str, Any]:
        return self.source.describe()

    def in_tiles(self, side: int, overlap: int) -> Source:
        """The other source in tiles; annotations need none."""
        return Union(self.source.in_tiles(side, overlap), self.class_names)

    def prepare(self, image: InputImage) -> InputImage:
        return self.source.prepare(image)

    def batch_shape(self, image: InputImage) -> Hashable:
        return self.source.batch_shape(image)

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        annotated = [image.annotated.instances for image in images if image.annotated]
        found = self.source(images)
        return [one.join(other.to(one.device)) for one, other in zip(found, annotated, strict=True)]
