"""Run the command with a source that needs no model and that changes files during the run.

    python tests/whole.py FOLDER INPUT [options of eliminate_bg]

The whole image is one instance. When the first image has been read, each file `a%b.after` in FOLDER replaces `a/b`
below INPUT; an empty file deletes it.
"""

import sys
from pathlib import Path

import torch

from solo_bg.cli import main as cli
from solo_bg.core.instances import Instances
from solo_bg.sources.base import Source


class Whole(Source):
    """One instance in each image: the whole image."""

    class_names = ('all',)

    def __init__(self, after, folder):
        self.after, self.folder = sorted(after.iterdir()), folder

    @classmethod
    def build(cls, settings):
        return cls(Path(settings.options['after']), Path(settings.options['folder']))

    def describe(self):
        return {}

    def prepare(self, picture):
        if picture.path.endswith('/0_first.png'):
            for path in self.after:
                place = self.folder / path.stem.replace('%', '/')
                place.unlink()
                if path.stat().st_size:
                    path.rename(place)
        return picture

    def __call__(self, pictures):
        sizes = [picture.pixels.shape[:2] for picture in pictures]
        return [
            Instances(torch.ones(1, *size, dtype=torch.bool), torch.zeros(1).long(), torch.ones(1), self.class_names)
            for size in sizes
        ]


if __name__ == '__main__':
    after, folder, *argv = sys.argv[1:]
    options = ['--source', 'whole:Whole', '--source-options', f'after={after}', f'folder={folder}']
    sys.exit(cli.main([folder, *argv, *options]))
