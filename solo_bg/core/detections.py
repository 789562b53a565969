"""supervision's `Detections` from and to `Instances`. Reading them does not import supervision."""

from __future__ import annotations

from typing import Any

import numpy as np

from solo_bg.core.instances import Instances


def read_detections(detections: Any) -> tuple[Any, Any, Any]:
    """Masks, labels and scores of supervision's `Detections`."""
    count = len(detections.xyxy)
    if detections.mask is None and count:
        raise TypeError(f'these Detections have {count} boxes but no masks; expected those of an instance segmenter')
    masks = () if detections.mask is None else np.asarray(detections.mask)
    labels = np.zeros(count, np.int64) if detections.class_id is None else detections.class_id
    scores = np.ones(count, np.float32) if detections.confidence is None else detections.confidence
    return masks, labels, scores


def names_of_detections(detections: Any) -> tuple[str, ...]:
    """Class names by label from supervision's `Detections`, which give one for each detection; () without any.

    The name of a label that no detection has is its number.
    """
    names = detections.data.get('class_name')
    if names is None or detections.class_id is None:
        return ()
    known = {int(label): str(name) for label, name in zip(detections.class_id, names, strict=True)}
    return tuple(known.get(label, str(label)) for label in range(max(known, default=-1) + 1))


def to_detections(instances: Instances) -> Any:
    """The instances as supervision's `Detections`, on the host, in the same order.

    Returns:
        `Detections` with `xyxy` float32 (N, 4), half open; `mask` bool (N, H, W); `confidence` float32 (N,);
        `class_id` int64 (N,); and `data['class_name']`, the class names, (N,).

    Raises:
        ImportError: supervision is not installed (`pip install supervision`).
    """
    from supervision import Detections

    return Detections(
        xyxy=instances.boxes.cpu().numpy().astype(np.float32),
        mask=instances.masks.cpu().numpy(),
        confidence=instances.scores.cpu().numpy(),
        class_id=instances.labels.cpu().numpy(),
        data={'class_name': np.array(instances.names, dtype=str)},
    )
