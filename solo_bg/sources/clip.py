"""The frames of one video for a source that remembers the frames before."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from solo_bg.sources.base import InputImage, Source

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances


def remembers(source: Source) -> bool:
    """Whether what a source finds in a frame depends on the frames before it."""
    return type(source).start_clip is not Source.start_clip


class Clip(Source):
    """A source that carries its state through the frames of one video, which it gets in order, one at a time."""

    def __init__(self, source: Source) -> None:
        self.source, self.class_names, self.device = source, source.class_names, source.device
        self.next_frame = source.start_clip()

    def prepare(self, image: InputImage) -> InputImage:
        return self.source.prepare(image)

    def batch_shape(self, image: InputImage) -> Hashable:
        return None

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        return [self.next_frame(image) for image in images]
