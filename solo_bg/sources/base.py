"""What a mask source is. Imports nothing heavy: the command line reads these classes before it imports torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from solo_bg.option_values import read_options as read_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from solo_bg.coco.dataset import Labelled
    from solo_bg.core.instances import Instances


@dataclass(frozen=True)
class InputImage:
    """One image on its way to a mask source.

    Attributes:
        name: where its results go: a path below a style's folder, without the suffix.
        path: where it came from, as the user gave it.
        pixels: uint8 (H, W, 3), BGR, EXIF orientation applied.
        prepared: the source's preprocessed input, or None.
        annotated: the image's annotations, or None.
    """

    name: str
    path: str
    pixels: NDArray[np.uint8]
    prepared: Any = None
    annotated: Labelled | None = None

    def with_prepared(self, prepared: Any) -> InputImage:
        return replace(self, prepared=prepared)


@dataclass(frozen=True)
class SourceSettings:
    """What the user chose for a mask source. Each source takes what it needs.

    Attributes:
        config: a config file, or the name of a known model.
        checkpoint: its weights, or `auto`.
        cfg_options: overrides of the config, `KEY=VALUE` each.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        backend: `auto`, `torch` or `openvino`.
        stock_head: use mmdet's own SOLO head.
        trust_checkpoint: load a checkpoint that holds more than data.
        options: `--source-options`: name -> text.
        annotated_classes: class names of the annotations; empty without annotations.
    """

    config: str = ''
    checkpoint: str = ''
    cfg_options: Sequence[str] = ()
    device: str = 'auto'
    precision: str = 'auto'
    backend: str = 'auto'
    stock_head: bool = False
    trust_checkpoint: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    annotated_classes: tuple[str, ...] = ()


class Source:
    """Where masks come from: a list of images in, one `Instances` for each image out.

    A new source is a subclass in a file of its own, a row in `SOURCES`, and a subclass of the contract test.

    Attributes:
        needs_model: the command takes CONFIG and CHECKPOINT for this source.
        needs_annotations: the command takes `--ann` for this source.
        has_scores: its scores are meaningful; otherwise `--score-thr` does not apply.
        takes_tiles: it defines `in_tiles`, so the command accepts `--tiles`.
        option_defaults: the `--source-options` it takes, with their defaults. A default's type is the option's type.
        class_names: all classes it can find.
        at_once: number of concurrent calls that it supports, in threads. If it is above 1, each call gets one image
            instead of a batch.
        device: where it computes and where its masks are: `cpu`, `cuda` or `cuda:N`.
    """

    needs_model: ClassVar[bool] = False
    needs_annotations: ClassVar[bool] = False
    has_scores: ClassVar[bool] = True
    takes_tiles: ClassVar[bool] = False
    option_defaults: ClassVar[Mapping[str, Any]] = {}

    class_names: tuple[str, ...] = ()
    at_once: int = 1
    device: str = 'cpu'

    @classmethod
    def claims(cls, config: str) -> bool:
        """Whether CONFIG alone selects this source, as the name of a published foreground model does."""
        return False

    @classmethod
    def build(cls, settings: SourceSettings) -> Source:
        """Make the source that the settings describe. Raises SetupError where they cannot be used."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Everything that the masks depend on besides the image and its annotations, as a dict that JSON can hold.

        `--resume` compares it with that of the earlier run. It is written to run.json.
        """
        raise NotImplementedError

    def prepare(self, image: InputImage) -> InputImage:
        """Preprocess one image in a worker thread, before `__call__`. Raises ImageError as `__call__` does."""
        return image

    def batch_shape(self, image: InputImage) -> Hashable:
        """A key of the image. Images with equal keys may share a batch."""
        return image.pixels.shape[:2]

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        """Find the instances of each image, in order. Raises ImageError for an image that it cannot use."""
        raise NotImplementedError

    def in_tiles(self, side: int, overlap: int) -> Source:
        """This source for large images: it segments overlapping tiles and joins their instances.

        Called only if `takes_tiles`. A source that can segment a part of an image by itself can return
        `solo_bg.sources.tiled.Tiled(self, side, overlap)`.

        Args:
            side, overlap: of the tiles, in pixels.
        """
        raise NotImplementedError

    def start_clip(self) -> Callable[[InputImage], Instances]:
        """A function for the frames of one clip, called with one after the other.

        A source with a state, such as RobustVideoMatting, carries it from frame to frame. All others process each frame
        by itself.
        """
        return lambda frame: self([frame])[0]
