"""mmdet's models by name, as the metafiles of the installed mmdet list them."""

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

LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # the C version is faster


@dataclass(frozen=True)
class Model:
    """A model of mmdet's zoo.

    Attributes:
        name: such as `solo_r50_fpn_1x_coco`.
        config: its config file, which is installed with mmdet.
        weights: the address of its weights; None if mmdet publishes none.
        mask_ap: mask AP on COCO val2017 in percent, from mmdet's metafile; None if it has none.
    """

    name: str
    config: Path
    weights: str | None
    mask_ap: float | None

    @property
    def file_name(self) -> str:
        """The file name of the weights."""
        return (self.weights or '').rpartition('/')[2]


def models(families: str = '*') -> dict[str, Model]:
    """Name -> model, for all of mmdet's families or for one, such as `solo`.

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
    """mmdet's config files that match `family/name`, where `*` stands for anything; metafiles need not list them."""
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
    """The model of this name; else the model whose name begins with it.

    Of several models that begin so, those with weights and a mask AP come first, then shorter names, then the
    alphabet: `solo_r50` is `solo_r50_fpn_1x_coco`.

    Raises:
        SetupError: there is none; the message names the nearest.
    """
    if model := find_exactly(name):
        return model
    known = models()
    begun = [model for model in known.values() if name and re.match(rf'{re.escape(name)}[_-]', model.name)]
    if begun:
        return min(begun, key=lambda model: (not model.weights, model.mask_ap is None, len(model.name), model.name))
    near = ', '.join(difflib.get_close_matches(name, known, 3))
    advice = f'the nearest: {near}' if near else 'tools/download.py --list lists the names'
    raise SetupError(f'no config at {name}, and mmdet has no model of this name; {advice}')


def find_exactly(name: str) -> Model | None:
    """The model of this name, or of the config of this name. A config that no metafile lists has no weights."""
    known = models()
    if name in known:
        return known[name]
    if listed := [model for model in known.values() if model.config.stem == name]:
        return listed[0]
    if re.fullmatch(r'[\w.-]+', name) and (paths := config_files(f'*/{name}')):
        return Model(name, paths[0], None, None)
    return None
