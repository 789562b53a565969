"""CONFIG and CHECKPOINT of the command -> the file of a foreground network and its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from solo_bg.errors import SetupError
from solo_bg.models.foreground_zoo import FOREGROUND_MODELS, ForegroundModel, Recipe
from solo_bg.option_values import read_options

CHOICES = {'resize': ('stretch', 'shorter', 'keep'), 'filter': ('lanczos', 'area')}


def find_network(config: str, checkpoint: str, cfg_options: Sequence[str]) -> tuple[Path, Recipe]:
    """The file and the recipe.

    Args:
        config: a name of FOREGROUND_MODELS, or the path of an ONNX file.
        checkpoint: `auto`: the weights that belong to the name, downloaded if need be, or the file that `config` names.
            A path: other weights for the recipe of that name.
        cfg_options: fields of the recipe, `KEY=VALUE` each.

    Raises:
        SetupError: no such file, a wrong checksum, an unknown field or a value that it cannot have.
    """
    if config in FOREGROUND_MODELS:
        model = FOREGROUND_MODELS[config]
        path, recipe = fetch(config, model) if checkpoint == 'auto' else Path(checkpoint), model.recipe
    elif checkpoint in ('auto', config):
        path, recipe = Path(config), Recipe()
    else:
        raise SetupError(f'{config} holds its weights itself; give CHECKPOINT as auto, not {checkpoint}')
    if not path.is_file():
        raise SetupError(f'there is no file {path}; expected ONNX weights, or `auto`')
    return path, read_recipe(recipe, cfg_options)


def fetch(name: str, model: ForegroundModel) -> Path:
    """The weights of a row: those in `checkpoints/`, or downloaded to there, with their checksum compared.

    Raises:
        SetupError: they cannot be downloaded, or are not the published ones.
    """
    from solo_bg.disk.read import digest
    from solo_bg.models.find import checkpoint_folder, fetch_file

    target = checkpoint_folder() / model.file_name
    path = fetch_file(model.url, target)
    kind, _, expected = model.checksum.partition(':')
    actual = digest(path, kind)
    if actual != expected:
        raise SetupError(
            f'{path} is not the published file of {name}: its {kind} is {actual}, expected {expected}. Delete it and '
            'run again, or give the path of your own weights'
        )
    return path


def read_recipe(recipe: Recipe, cfg_options: Sequence[str]) -> Recipe:
    """The recipe with the given fields replaced."""
    given = dict(option.split('=', 1) for option in cfg_options)
    values = read_options(asdict(recipe), given, '--cfg-options')
    for name, allowed in CHOICES.items():
        if values[name] not in allowed:
            raise SetupError(f'--cfg-options: {name} expected one of {", ".join(allowed)}, got {values[name]!r}')
    for name in ('mean', 'std'):
        if len(values[name]) != 3:
            raise SetupError(f'--cfg-options: {name} expected three numbers, R,G,B, got {given[name]!r}')
    if 0 in values['std'] or values['size'] < 0 or not values['classes']:
        raise SetupError('--cfg-options: std must not be 0, size not negative, classes not empty')
    return replace(recipe, **values)
