"""Puts copies of the bundled model, its config and the demo images into the wheel. All else is in pyproject.toml."""

import shutil
from pathlib import Path
from runpy import run_path

from setuptools import setup
from setuptools.command.build_py import build_py

CLONE = Path(__file__).resolve().parent
BUNDLED = run_path(str(CLONE / 'solo_bg/bundled.py'))
FILES = BUNDLED['list_files'](CLONE)


class BuildWithBundledFiles(build_py):
    """`build_py` that also copies what `solo_bg/bundled.py` lists. An editable install uses the clone's own files."""

    def run(self):
        target = Path(self.build_lib, 'solo_bg')
        if not self.editable_mode:
            shutil.rmtree(target, ignore_errors=True)  # an earlier build may have left modules that are gone by now
        super().run()
        if not self.editable_mode:
            for name in FILES:
                copy = target / BUNDLED['COPIES'] / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(CLONE / name, copy)

    def get_source_files(self):
        """The files of a source distribution."""
        return [*super().get_source_files(), *FILES]


setup(cmdclass={'build_py': BuildWithBundledFiles})
