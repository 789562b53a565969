"""Instances that are annotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from solo_bg.sources.base import InputImage, Source, SourceSettings

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances


class Annotated(Source):
    """The annotations of each image, crowd regions included. Needs no model."""

    needs_annotations = True
    has_scores = False

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)

    @classmethod
    def build(cls, settings: SourceSettings) -> Annotated:
        return cls(settings.annotated_classes)

    def describe(self) -> dict[str, Any]:
        return {}

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        return [image.annotated.instances for image in images if image.annotated]
