"""SOURCES: the mask sources that the command knows by name, one file each."""

from __future__ import annotations

from solo_bg.errors import SetupError
from solo_bg.lookup import load
from solo_bg.sources.base import Source

# name -> 'module:class', so that the command line lists the names without importing torch
SOURCES = {
    'model': 'solo_bg.sources.detector:Detector',
    'gt': 'solo_bg.sources.annotated:Annotated',
    'union': 'solo_bg.sources.union:Union',
    'foreground': 'solo_bg.sources.foreground:Foreground',
    'kmeans': 'solo_bg.sources.kmeans:KMeans',
    'otsu': 'solo_bg.sources.otsu:Otsu',
    'region-growing': 'solo_bg.sources.region_growing:RegionGrowing',
    'grabcut': 'solo_bg.sources.grabcut:GrabCut',
    'grabcut-model': 'solo_bg.sources.grabcut:GrabCutModel',
    'ncut': 'solo_bg.sources.ncut:NormalisedCut',
}


def load_source(name: str) -> type[Source]:
    """The class behind a name of SOURCES, or behind `module:Class`, a source of the user's own.

    Raises:
        SetupError: no such name, module or class, or a class that is no `Source`.
    """
    if name not in SOURCES and ':' not in name:
        raise SetupError(f'no source is called {name!r}; expected one of {", ".join(SOURCES)}, or module:Class')
    try:
        found = load(SOURCES.get(name, name))
    except (ImportError, AttributeError) as error:
        raise SetupError(f'the source {name} cannot be imported: {error}') from error
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise SetupError(f'{name} is no mask source; expected a subclass of solo_bg.Source')
    return found


def choose_source(name: str | None, config: str) -> tuple[str, type[Source]]:
    """The source named by `--source`; without a name the one that claims CONFIG, else the detector.

    Returns:
        its name and its class.
    """
    if name is None:
        claimed = (known for known in SOURCES if load_source(known).claims(config))
        name = next(claimed, 'model')
    return name, load_source(name)
