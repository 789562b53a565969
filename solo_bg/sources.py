"""SOURCES: where instances come from. A source takes a list of pictures and returns a list of `Instances`.

A new source is one small class with `__call__` and `class_names`, one entry here, and one subclass of the shared
contract test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from solo_bg.instances import Instances, Picture
    from solo_bg.segmenter import Segmenter

SOURCES = {'model': 'solo_bg.sources:Detector'}  # name -> 'module:class'


class Source(Protocol):
    """What the pipeline asks for masks.

    Attributes:
        class_names: of all classes it can find.
    """

    class_names: tuple[str, ...]

    def __call__(self, pictures: Sequence[Picture]) -> list[Instances]:
        """One `Instances` a picture, in order. Raises ImageError for a picture that it cannot use."""


class Detector:
    """What a model finds."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.class_names = segmenter.class_names

    def __call__(self, pictures: Sequence[Picture]) -> list[Instances]:
        return self.segmenter([picture.pixels for picture in pictures])
