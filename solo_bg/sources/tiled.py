"""`--tiles`: a source that segments overlapping tiles of an image, and the whole image."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from solo_bg.errors import SetupError
from solo_bg.sources.base import InputImage, Source

if TYPE_CHECKING:
    from solo_bg.core.instances import Instances
    from solo_bg.core.masks import Box
    from solo_bg.core.pieces import Piece

WHOLE = 2048  # largest longer side of the whole image, in pixels; models scale it down further
SMALLEST, LEAST_OVERLAP = 64, 16  # pixels
ON_GPU = 8  # tiles in a forward pass on a GPU


def read_tiles(text: str) -> tuple[int, int]:
    """Side and overlap of the tiles: `1024:128` -> (1024, 128), `1024` -> (1024, 256), a quarter.

    Raises:
        SetupError: the text has another form, or the numbers are too small or too large.
    """
    side, _, overlap = text.partition(':')
    if not side.isdecimal() or not (overlap.isdecimal() or text == side):
        raise SetupError(f'--tiles expected SIZE or SIZE:OVERLAP in pixels, such as 1024:128, got {text!r}')
    tiles = int(side), int(overlap or int(side) // 4)
    if tiles[0] < SMALLEST or not LEAST_OVERLAP <= tiles[1] <= tiles[0] // 2:
        raise SetupError(
            f'--tiles expected a SIZE of at least {SMALLEST} and an OVERLAP from {LEAST_OVERLAP} to half of it, got '
            f'{tiles[0]}:{tiles[1]}'
        )
    return tiles


class Tiled(Source):
    """Runs another source on tiles and on the whole image, and joins the instances.

    An image that is no larger than a tile is passed to the source unchanged.

    Args:
        source: must accept images of any size.
        side, overlap: of the tiles, in pixels.
    """

    needs_model = True

    def __init__(self, source: Source, side: int, overlap: int) -> None:
        self.source, self.side, self.overlap = source, side, overlap
        self.class_names = source.class_names
        self.device = source.device

    def describe(self) -> dict[str, Any]:
        return {**self.source.describe(), 'tiles': [self.side, self.overlap]}

    def prepare(self, image: InputImage) -> InputImage:
        """Prepare the whole image. Tiles are prepared later, one by one, because together they need more memory."""
        return self.source.prepare(image) if self.fits(image) else image.with_prepared(self.prepare_whole(image))

    def batch_shape(self, image: InputImage) -> Hashable:
        return self.source.batch_shape(image) if self.fits(image) else image.pixels.shape[:2]

    def __call__(self, images: Sequence[InputImage]) -> list[Instances]:
        if all(map(self.fits, images)):
            return self.source(images)
        return [self.source([image])[0] if self.fits(image) else self.find(image) for image in images]

    def fits(self, image: InputImage) -> bool:
        """Whether the image is no larger than a tile."""
        return max(image.pixels.shape[:2]) <= self.side

    def prepare_whole(self, image: InputImage) -> InputImage:
        """The whole image, scaled down and prepared for the source."""
        import cv2

        height, width = image.pixels.shape[:2]
        factor = WHOLE / max(height, width)
        pixels = image.pixels
        if factor < 1:
            size = max(1, round(width * factor)), max(1, round(height * factor))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        return self.source.prepare(replace(image, pixels=pixels, prepared=None, annotated=None))

    def find(self, image: InputImage) -> Instances:
        """The instances of one image."""
        from solo_bg.core.pieces import distinct, instances_of
        from solo_bg.core.tiles import join
        from solo_bg.core.whole_view import add_whole

        size = image.pixels.shape[0], image.pixels.shape[1]
        pieces = [piece for found in self.tile_pieces(image) for piece in distinct(found)]
        whole = self.whole_instances(image)
        pieces = add_whole(join(pieces, size, self.edge), whole, size)
        return instances_of(pieces, size, whole.class_names).to(self.device)

    @property
    def edge(self) -> int:
        """A mask this close to a tile's border, in pixels, counts as cut, since masks are not exact to the pixel."""
        return max(4, self.overlap // 16)

    def whole_instances(self, image: InputImage) -> Instances:
        """What is found in the whole image, on the host, at the size of `prepare_whole`."""
        return self.source([image.prepared or self.prepare_whole(image)])[0].to('cpu')

    def tile_pieces(self, image: InputImage) -> Iterator[list[Piece]]:
        """What is found in each tile, on the host."""
        from solo_bg.core.pieces import pieces_of
        from solo_bg.core.tiles import grid

        tiles = grid((image.pixels.shape[0], image.pixels.shape[1]), self.side, self.overlap)
        size = ON_GPU if self.device.startswith('cuda') else 1
        for start in range(0, len(tiles), size):
            batch = tiles[start : start + size]
            found = self.source([self.source.prepare(self.cut(image, tile)) for tile in batch])
            yield from (pieces_of(one, tile) for one, tile in zip(found, batch, strict=True))

    def cut(self, image: InputImage, tile: Box) -> InputImage:
        """One tile as an image."""
        x0, y0, x1, y1 = tile
        pixels = image.pixels[y0:y1, x0:x1].copy()
        return replace(image, pixels=pixels, prepared=None, annotated=None)
