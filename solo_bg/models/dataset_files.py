"""The annotation files that a config names: are they there, and whole, before a training starts?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from solo_bg.errors import SetupError

ENDS = 4096  # bytes


def check_annotations(config: Mapping[str, Any], *parts: str) -> None:
    """Raise SetupError where an annotation file of the config is missing, or damaged.

    A `.json` file is read at its two ends only, as COCO's are large: this finds files that are cut short or empty,
    pages and pointers that were downloaded in place of a file, and folders.

    Args:
        parts: the keys to look below, such as `train_dataloader` and `val_evaluator`. A key that the config lacks is
            skipped.
    """
    for part in parts:
        for key, path in annotation_files(config.get(part), part):
            if '://' in path:
                continue
            if not os.path.exists(path):
                raise SetupError(
                    f'there is no annotation file at {path}, which the config names as {key}. Make it, or say where '
                    f'it is: --cfg-options {key}=FILE'
                )
            if path.endswith('.json') and not looks_like_json(path):
                raise SetupError(
                    f'{path}, which the config names as {key}, is no whole JSON file. Copy or make it again, or name '
                    f'another one: --cfg-options {key}=FILE'
                )


def looks_like_json(path: str) -> bool:
    """Whether a file begins and ends as a JSON object or list does, apart from white space."""
    if not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        first = file.read(ENDS).lstrip()[:1]
        file.seek(max(os.path.getsize(path) - ENDS, 0))
        last = file.read().rstrip()[-1:]
    return first + last in (b'{}', b'[]')


def annotation_files(node: Any, at: str) -> Iterator[tuple[str, str]]:
    """Each `ann_file` below a node of the config: its dotted path, and the file, below `data_root` as mmdet puts it."""
    if isinstance(node, Mapping):
        file = node.get('ann_file')
        if isinstance(file, str) and file:
            yield f'{at}.ann_file', os.path.join(node.get('data_root') or '', file)
        items = [(str(key), value) for key, value in node.items()]
    else:
        items = [(str(index), value) for index, value in enumerate(node)] if isinstance(node, (list, tuple)) else []
    for key, value in items:
        yield from annotation_files(value, f'{at}.{key}')
