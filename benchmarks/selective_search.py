"""Selective search (Uijlings et al. 2013): proposals without a model, by merging similar neighbouring regions.

OpenCV's version, in opencv-contrib, returns rectangles only. Average recall of masks needs the regions.
"""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb

from solo_bg import Instances

SPACES = (cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2LAB)
SCALES = (50, 100)  # of the first segmentation, k in the paper's "fast" mode
BINS = 25  # of each channel's histogram
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Regions:
    """The regions of an image while they are merged: for each its pixels, histogram, and box."""

    def __init__(self, image: NDArray[np.uint8], labels: Labels) -> None:
        self.pixels = labels.size
        count = int(labels.max()) + 1
        self.parts = [{number} for number in range(count)]
        self.size = np.bincount(labels.ravel(), minlength=count).astype(float).tolist()
        self.histogram = list(histograms(image, labels, count))
        rows, columns = (axis.ravel() for axis in np.indices(labels.shape))
        first, last = np.full((count, 2), labels.size), np.full((count, 2), -1)
        for axis, places in enumerate((rows, columns)):
            np.minimum.at(first[:, axis], labels.ravel(), places)
            np.maximum.at(last[:, axis], labels.ravel(), places)
        self.box = [(*low, *high) for low, high in zip(first.tolist(), last.tolist(), strict=True)]

    def alike(self, one: int, other: int) -> float:
        """The sum of the paper's similarities of colour, texture, size and fill."""
        common = np.minimum(self.histogram[one], self.histogram[other]).sum()
        y0, x0, y1, x1 = around(self.box[one], self.box[other])
        both = self.size[one] + self.size[other]
        return float(common + 1 - both / self.pixels + 1 - ((y1 - y0 + 1) * (x1 - x0 + 1) - both) / self.pixels)

    def merge(self, one: int, other: int) -> int:
        """Add the union of two regions; its number."""
        sizes = np.array([self.size[one], self.size[other]])
        both = np.stack([self.histogram[one], self.histogram[other]])
        self.histogram.append((sizes[:, None] * both).sum(0) / sizes.sum())
        self.size.append(float(sizes.sum()))
        self.parts.append(self.parts[one] | self.parts[other])
        self.box.append(around(self.box[one], self.box[other]))
        return len(self.parts) - 1


def around(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return (*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:]))


def histograms(image: NDArray[np.uint8], labels: Labels, count: int) -> Floats:
    """Colours, and the directions of edges in each channel, of each region: float64 (count, bins). Each of the two
    parts adds up to 1."""
    found = []
    for channel in np.moveaxis(image, 2, 0).astype(np.float32):
        across, down = cv2.Sobel(channel, cv2.CV_32F, 1, 0), cv2.Sobel(channel, cv2.CV_32F, 0, 1)
        strength, angle = cv2.cartToPolar(across, down)
        colour = (channel * BINS / 256).astype(int)
        texture = (angle / (2 * np.pi) * 8).astype(int) % 8 * 10 + np.minimum(strength / 32, 9).astype(int)
        for values, bins in ((colour, BINS), (texture, 80)):
            flat = np.bincount((labels * bins + values).ravel(), minlength=count * bins)
            found.append(flat.reshape(count, bins).astype(float))
    colours, textures = (np.concatenate(found[start::2], 1) for start in (0, 1))
    return np.concatenate([colours / colours.sum(1, keepdims=True), textures / textures.sum(1, keepdims=True)], 1)


def hierarchy(image: NDArray[np.uint8], labels: Labels) -> list[set[int]]:
    """All regions, from the first ones to the whole image: for each the first regions that it consists of."""
    regions = Regions(image, labels)
    pairs = np.concatenate(
        [
            np.stack([labels[:, :-1], labels[:, 1:]], 2).reshape(-1, 2),
            np.stack([labels[:-1], labels[1:]], 2).reshape(-1, 2),
        ]
    )
    borders = {(int(a), int(b)) for a, b in np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)}
    alike = {pair: regions.alike(*pair) for pair in borders}
    while alike:
        best = max(alike, key=alike.__getitem__)
        touching = [pair for pair in alike if set(pair) & set(best)]
        neighbours = {number for pair in touching for number in pair} - set(best)
        for pair in touching:
            del alike[pair]
        new = regions.merge(*best)
        alike |= {(number, new): regions.alike(number, new) for number in neighbours}
    return regions.parts


def selective_search(images: list[Any]) -> list[Instances]:
    """The regions of images, uint8 (H, W, 3) BGR, as instances of class 0, best score first.

    As in the paper, the merges of several colour spaces and first segmentations are joined: a region's rank, counted
    from the last merge, is multiplied by a random number. The score is the inverse of this product, in 0..1.
    """
    return [search_one(image, np.random.default_rng(0)) for image in images]


def search_one(image: NDArray[np.uint8], rng: np.random.Generator) -> Instances:
    masks, ranks = [], []
    for space in SPACES:
        converted: Any = cv2.cvtColor(image, space)
        for scale in SCALES:
            labels = felzenszwalb(converted, scale=scale, sigma=0.8, min_size=scale)
            for rank, parts in enumerate(reversed(hierarchy(converted, labels)), 1):
                masks.append(np.isin(labels, list(parts)))
                ranks.append(rank * rng.random() + 1)
    order = np.argsort(ranks)
    _, first = np.unique([np.packbits(masks[row]) for row in order], axis=0, return_index=True)
    order = order[np.sort(first)]
    scores = torch.tensor([1 / ranks[row] for row in order], dtype=torch.float32)
    dense = torch.from_numpy(np.stack([masks[row] for row in order]))
    return Instances(dense, torch.zeros(len(dense), dtype=torch.int64), scores)
