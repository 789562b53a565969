"""Where the files are that come with the package: the bundled model, its config, and the demo images.

A clone has them at its root, in `configs/`, `checkpoints/` and `demo/`. A wheel carries copies of them under the same
paths in `solo_bg/bundled_files/`; `setup.py` puts them there, and reads `PATTERNS` from this file, which therefore
imports nothing but the standard library.
"""

from __future__ import annotations

from pathlib import Path

PATTERNS = (
    'configs/solo_bg_tiny.py',
    'checkpoints/solo_bg_tiny.pth',
    'checkpoints/README.md',  # the model's card
    'demo/README.md',  # where the images come from, and their licences
    'demo/images/*.jpg',
    'demo/images/*.png',
)
COPIES = 'bundled_files'  # folder in the installed package

PACKAGE = Path(__file__).resolve().parent
CLONE = PACKAGE.parent
IN_CLONE = (CLONE / PATTERNS[0]).is_file()
ROOT = CLONE if IN_CLONE else PACKAGE / COPIES

CONFIG = ROOT / 'configs/solo_bg_tiny.py'
CHECKPOINT = ROOT / 'checkpoints/solo_bg_tiny.pth'
DEMO_IMAGES = ROOT / 'demo/images'


def list_files(root: Path = ROOT) -> list[str]:
    """Paths of all bundled files, relative to `root`."""
    found = {path.relative_to(root).as_posix() for pattern in PATTERNS for path in root.glob(pattern)}
    return sorted(found)
