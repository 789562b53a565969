"""A mask source for the server's tests: each colour channel is an instance where it is bright. It waits if asked to."""

import threading

import torch

from solo_bg import Instances, Source

CLASSES = ('blue', 'green', 'red', 'nothing')
LABELS, SCORES = (2, 0, 3, 1), (0.9, 0.6, 0.5, 0.3)  # the third instance has no pixels
BRIGHT = 170


class Channels(Source):
    """Finds red, blue, nothing and green, with falling scores.

    Attributes:
        may_go: while it is not set, calls wait.
        batches: the file names of each call's images.
    """

    class_names = CLASSES

    def __init__(self):
        self.may_go, self.batches = threading.Event(), []
        self.may_go.set()

    @classmethod
    def build(cls, settings):
        return cls()

    def describe(self):
        return {}

    def __call__(self, images):
        self.batches.append([image.path for image in images])
        assert self.may_go.wait(60)
        return [Instances(masks_of(image.pixels), *numbers(), CLASSES) for image in images]


def numbers():
    return torch.tensor(LABELS), torch.tensor(SCORES)


def masks_of(pixels):
    """bool (4, H, W) of uint8 (H, W, 3), BGR."""
    channels = torch.from_numpy(pixels).permute(2, 0, 1) > BRIGHT
    return torch.stack([channels[2], channels[0], torch.zeros_like(channels[0]), channels[1]])
