"""COCO's run-length code (RLE), read and written without a mask of the whole image.

The pixels of an image are numbered down its columns, from the left column to the right. The runs of a mask are the
lengths of its alternating stretches of background and mask in this order; the first run is background and may be 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solo_bg.core.instances import Instances
from solo_bg.core.masks import Box

Runs = NDArray[np.int64]  # (R,)
BITS, MORE, SIGN = 5, 32, 16  # of each character of a text: five bits of a number, then whether more bits follow
LONGEST = 7  # characters of a number: 35 bits
CHUNK = 2**22  # pixels that the CPU searches at once, in its cache; a GPU searches more, as each search waits for it
ON_GPU = 16


def encode(instances: Instances) -> list[dict[str, Any]]:
    """Each mask as `segmentation` holds it in JSON: `{'size': [H, W], 'counts': text}`."""
    return [as_segmentation(runs, instances.size) for runs in runs_of(instances)]


def as_segmentation(runs: Runs, size: tuple[int, int]) -> dict[str, Any]:
    return {'size': list(size), 'counts': to_text(runs)}


def runs_of(instances: Instances) -> Iterator[Runs]:
    """The runs of each mask. Runs are searched on the masks' device, inside the boxes."""
    crops, boxes = instances.crops, instances.host_boxes
    most = CHUNK if instances.device.type == 'cpu' else CHUNK * ON_GPU
    first = pixels = 0
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        pixels += (y1 - y0 + 1) * (x1 - x0)
        if pixels >= most or index + 1 == len(boxes):
            yield from runs_of_chunk(crops[first : index + 1], boxes[first : index + 1], instances.size)
            first, pixels = index + 1, 0


def runs_of_chunk(crops: Sequence[Tensor], boxes: Sequence[Box], size: tuple[int, int]) -> Iterator[Runs]:
    height, pixels = size[0], size[0] * size[1]
    x0, y0, x1, y1 = np.array(boxes, np.int64).T
    widths = x1 - x0
    ends = ((y1 - y0 + 1) * widths).cumsum()
    found = changes_along_columns(crops, boxes, int(ends[-1]))
    which = ends.searchsorted(found, 'right')
    below, right = np.divmod(found - (ends - (y1 - y0 + 1) * widths)[which], widths[which])
    # the number of the pixel that begins a run, and the mask that it is in
    at = np.sort((x0[which] + right) * height + y0[which] + below + which * (pixels + 1))
    # a run that goes on from one column's last pixel to the next one's first was found as an end and a begin
    at = at[(np.diff(at, prepend=-1) != 0) & (np.diff(at, append=-1) != 0)]
    firsts = at.searchsorted(np.arange(len(boxes) + 1) * (pixels + 1))
    for index in range(len(boxes)):
        begins = at[firsts[index] : firsts[index + 1]] - index * (pixels + 1)
        runs = np.diff(begins, prepend=0, append=pixels)
        yield runs if runs[-1] else runs[:-1]


def changes_along_columns(crops: Sequence[Tensor], boxes: Sequence[Box], total: int) -> Runs:
    """Where a pixel differs from the one above it; outside the crops everything is background.

    Returns:
        int64 (K,), ascending: positions in the crops laid out one after the other, row by row, each crop (h, w) with
        one row more at its end. `total` is the length of it all.
    """
    changed = torch.zeros(total + -total % 8, dtype=torch.uint8, device=crops[0].device)
    first = 0
    for crop, (x0, y0, x1, y1) in zip(crops, boxes, strict=True):
        height, width, bits = y1 - y0, x1 - x0, crop.view(torch.uint8)
        rows = changed[first : first + (height + 1) * width].view(height + 1, width)
        if height and width:
            rows[0], rows[height] = bits[0], bits[height - 1]
            torch.bitwise_xor(bits[1:], bits[:-1], out=rows[1:height])
        first += (height + 1) * width
    words = changed.view(torch.int64).nonzero()  # (K', 1): eight pixels at a time, as most words are 0
    word, byte = changed.view(-1, 8)[words[:, 0]].nonzero().T
    return (words[:, 0][word] * 8 + byte).cpu().numpy()


def box_of(runs: Runs, size: tuple[int, int]) -> Box:
    """The smallest box around the mask of these runs; (0, 0, 0, 0) for an empty mask."""
    begins, ends = stretches(runs)
    if not len(begins):
        return 0, 0, 0, 0
    height = size[0]
    x0, x1 = int(begins[0]) // height, (int(ends[-1]) - 1) // height + 1
    if (begins // height != (ends - 1) // height).any():  # a stretch reaches a column's end, and the next one's start
        return x0, 0, x1, height
    return x0, int((begins % height).min()), x1, int(((ends - 1) % height).max()) + 1


def crop_of(runs: Runs, box: Box, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of these runs, cut to its box, bool (h, w)."""
    (height, _), (x0, y0, x1, y1) = size, box
    begins, ends = stretches(runs)
    edges = np.stack([begins, ends], 1).ravel() - x0 * height
    lengths = np.diff(edges, prepend=0, append=(x1 - x0) * height)
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(x1 - x0, height)
    return np.ascontiguousarray(columns[:, y0:y1].T)


def stretches(runs: Runs) -> tuple[Runs, Runs]:
    """Where each stretch of the mask begins, and one past its end, without empty stretches."""
    ends = runs.cumsum()
    begins, ends = ends[: len(ends) - len(ends) % 2 : 2], ends[1::2]
    filled = begins < ends
    return begins[filled], ends[filled]


def runs_of_box(box: Box, size: tuple[int, int]) -> Runs:
    """The runs of a mask that fills its box."""
    (height, width), (x0, y0, x1, y1) = size, box
    if x0 >= x1 or y0 >= y1:
        return np.array([height * width], np.int64)
    runs = np.tile(np.array([height - (y1 - y0), y1 - y0], np.int64), x1 - x0)
    runs[0] = x0 * height + y0
    return np.append(runs, (width - x1) * height + height - y1)


def to_text(runs: Runs) -> str:
    """Runs as COCO's compressed text: each number in characters from '0' on that hold five bits, the lowest first, and
    from the fourth number on the difference from the one two before."""
    numbers = runs.copy()
    numbers[3:] -= runs[1:-2]
    bit_length = np.frexp(np.where(numbers < 0, ~numbers, numbers).astype(np.float64))[1]
    lengths = bit_length // BITS + 1  # one bit is the sign
    place = np.arange(int(lengths.max()))
    characters = (numbers[:, None] >> BITS * place & (MORE - 1)) + MORE * (place < lengths[:, None] - 1) + ord('0')
    return characters[place < lengths[:, None]].astype(np.uint8).tobytes().decode()


def from_text(text: str | bytes) -> Runs:
    """The reverse of `to_text`. Raises ValueError for a text that it never gives."""
    data = text.encode() if isinstance(text, str) else text
    bits = np.frombuffer(data, np.uint8).astype(np.int64) - ord('0')
    if not len(bits) or bits.min() < 0 or bits.max() >= 2 * MORE or bits[-1] & MORE:
        raise ValueError('the text is no run-length code')
    ends = np.flatnonzero(bits & MORE == 0)
    begins = np.append(0, ends[:-1] + 1)
    lengths = ends - begins + 1
    if lengths.max() > LONGEST:
        raise ValueError('the run-length code holds a number of more than 35 bits')
    places = np.arange(len(bits)) - np.repeat(begins, lengths)
    numbers = np.add.reduceat((bits & (MORE - 1)) << BITS * places, begins)
    numbers -= np.where(bits[ends] & SIGN, np.int64(1) << BITS * lengths, 0)
    numbers[1::2], numbers[2::2] = numbers[1::2].cumsum(), numbers[2::2].cumsum()
    return numbers
