"""SOURCES: where instances come from. A source takes a list of pictures and returns a list of `Instances`.

A new source is one small subclass of `Source`, one entry here, and one subclass of the shared
contract test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solo_bg.instances import Instances, Picture
    from solo_bg.segmenter import Segmenter

SOURCES = {'model': 'solo_bg.sources:Detector'}  # name -> 'module:class'


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
