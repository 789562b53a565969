"""A mask source that solo_bg knows nothing of: what is brighter than a threshold in blue is one instance."""

import torch

from solo_bg import Instances, Source
from solo_bg.option_values import read_options


class Threshold(Source):
    option_defaults = {'threshold': 128}  # noqa: RUF012
    class_names = ('bright',)

    def __init__(self, threshold):
        self.threshold = threshold

    @classmethod
    def build(cls, settings):
        return cls(**read_options(cls.option_defaults, settings.options))

    def describe(self):
        return {'threshold': self.threshold}

    def __call__(self, images):
        masks = [torch.from_numpy(image.pixels[None, ..., 0] > self.threshold) for image in images]
        return [Instances(mask, torch.zeros(1).long(), torch.ones(1), self.class_names) for mask in masks]
