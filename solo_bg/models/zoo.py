"""mmdet's own models by name, as its installed metafiles list them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from solo_bg.errors import SetupError
from solo_bg.mmdet_needed import mmdet_needed

LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # as safe, and faster where it is built


@dataclass(frozen=True)
class Model:
    """A model of mmdet's zoo.

    Attributes:
        name: such as `solo_r50_fpn_1x_coco`.
        config: its config file, installed with mmdet.
        weights: the address of its weights; None if there is none.
        mask_ap: on COCO val2017, in percent, as mmdet's metafile has it; None if it has none.
    """

    name: str
    config: Path
    weights: str | None
    mask_ap: float | None

    @property
    def file_name(self) -> str:
        """What the weights are called."""
        return (self.weights or '').rpartition('/')[2]


def models(families: str = '*') -> dict[str, Model]:
    """Name -> model, of all families of mmdet's or of one such as `solo`.

    Raises:
        SetupError: the installed mmdet has no metafiles.
    """
    root = metafiles()
    found = {}
    for path in sorted(root.glob(f'configs/{families}/metafile.yml')):
        listed = yaml.load(path.read_text(encoding='utf-8'), Loader=LOADER) or {}
        for entry in listed if isinstance(listed, list) else listed.get('Models') or ():
            config = root / unquote(entry['Config'])
            found[entry['Name']] = Model(entry['Name'], config, entry.get('Weights'), mask_ap(entry))
    return found


def config_files(pattern: str) -> list[Path]:
    """mmdet's configs of this name, whether a metafile lists them or not; `pattern` is family/name, `*` for any."""
    return sorted(metafiles().glob(f'configs/{pattern}.py'))


def metafiles() -> Path:
    with mmdet_needed():
        import mmdet

    root = Path(mmdet.__path__[0]) / '.mim'
    if not root.is_dir():
        raise SetupError(f'the mmdet in {root.parent} lists no models; give the path of a config and of its weights')
    return root


def mask_ap(entry: dict[str, Any]) -> float | None:
    metrics = [result.get('Metrics') or {} for result in entry.get('Results') or ()]
    return next((float(one['mask AP']) for one in metrics if 'mask AP' in one), None)


def find(name: str) -> Model:
    """The model of this name, or of the config of this name. A config that no metafile lists is one without weights.

    Raises:
        SetupError: there is none; the message names the nearest.
    """
    known = models()
    if name in known:
        return known[name]
    if listed := [model for model in known.values() if model.config.stem == name]:
        return listed[0]
    if re.fullmatch(r'[\w.-]+', name) and (paths := config_files(f'*/{name}')):
        return Model(name, paths[0], None, None)
    near = ', '.join(difflib.get_close_matches(name, known, 3)) or 'see tools/download.py --list'
    raise SetupError(f'no config at {name}, and mmdet has no model of this name; the nearest: {near}')
