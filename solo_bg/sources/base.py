"""SOURCES: where instances come from. A source takes a list of pictures and returns a list of `Instances`.

A new source is one small subclass of `Source`, one entry here, and one subclass of the shared
contract test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances, Picture
    from solo_bg.models.segmenter import Segmenter

SOURCES = {  # name -> 'module:class'
    'model': 'solo_bg.sources.base:Detector',
    'gt': 'solo_bg.sources.base:GroundTruth',
    'union': 'solo_bg.sources.base:Union',
}


class Source:
    """What the pipeline asks for masks.

    Attributes:
        class_names: of all classes it can find.
    """

    class_names: tuple[str, ...] = ()

    def prepare(self, picture: Picture) -> Picture:
        """Whatever can be done to one picture ahead of its turn, in another thread. Raises ImageError as below."""
        return picture

    def __call__(self, pictures: Sequence[Picture]) -> list[Instances]:
        """One `Instances` a picture, in order. Raises ImageError for a picture that it cannot use."""
        raise NotImplementedError


class Detector(Source):
    """What a model finds."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.class_names = segmenter.class_names

    def prepare(self, picture: Picture) -> Picture:
        return replace(picture, prepared=self.segmenter.prepare(picture.pixels))

    def __call__(self, pictures: Sequence[Picture]) -> list[Instances]:
        return self.segmenter.segment(
            [picture.prepared or self.segmenter.prepare(picture.pixels) for picture in pictures]
        )


class GroundTruth(Source):
    """What is annotated, crowd regions included."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)

    def __call__(self, pictures: Sequence[Picture]) -> list[Instances]:
        return [picture.annotated.instances for picture in pictures if picture.annotated]


class Union(Source):
    """What another source finds, and what is annotated."""

    def __init__(self, source: Source, class_names: Sequence[str]) -> None:
        self.source = source
        self.class_names = tuple(dict.fromkeys((*source.class_names, *class_names)))

    def prepare(self, picture: Picture) -> Picture:
        return self.source.prepare(picture)

    def __call__(self, pictures: Sequence[Picture]) -> list[Instances]:
        annotated = [picture.annotated.instances for picture in pictures if picture.annotated]
        found = self.source(pictures)
        return [one.join(other.to(one.device)) for one, other in zip(found, annotated, strict=True)]
