"""`show_result_ins`, the function that SOLO's users know."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg.core.results import as_instances
from solo_bg.core.transfer import upload
from solo_bg.disk.read import read_image
from solo_bg.disk.write import write_image
from solo_bg.draw.names import overlay


def show_result_ins(
    image: NDArray[np.uint8] | str | PathLike[str],
    result: Any,
    class_names: Sequence[str],
    score_thr: float = 0.3,
    sort_by_density: bool = False,
    out_file: str | PathLike[str] | None = None,
) -> NDArray[np.uint8] | None:
    """Draw the instances of one image on black, each with its class name at its centre of mass.

    1. Instances with score > `score_thr` are kept, in the given order; `sort_by_density` orders them by area,
       ascending (stable).
    2. Each gets a colour, in order (NumPy's legacy generator, seed 42; the caller's random state does not change).
    3. They are drawn from the last to the first: half colour, half image, rounded down to uint8. The first is on top.
    4. After its colour each gets its name, in white, at (max(int(cx) - 10, 0), int(cy)). What is drawn later covers it.
    5. Every pixel outside the union of the masks is 0.

    Based on `show_result_ins` of the original SOLO (`mmdet/apis/inference.py`), changed to remove the background.

    Args:
        image: uint8 (H, W, 3), BGR, or a file to read it from.
        result: any form that `as_instances` reads; masks of another size are resized (bilinear, > 0.5).
        class_names: names of all classes.
        out_file: where to write the picture. Missing folders are created; the suffix chooses the format.

    Returns:
        the picture, uint8 (H, W, 3), BGR; None if it was written to `out_file`. Without instances it is all 0.

    Raises:
        ValueError: the image is not uint8 (H, W, 3), or the masks do not fit their labels.
        ImageError: the file cannot be read, or the picture cannot be encoded.
    """
    pixels = read_image(Path(image)) if isinstance(image, (str, PathLike)) else image
    instances = as_instances(result, pixels.shape[:2], class_names).select(score_thr)
    if sort_by_density:
        instances = instances.sort_by_area()
    on_device = upload(torch.from_numpy(np.ascontiguousarray(pixels)), instances.device)
    picture = overlay(on_device, instances).cpu().numpy()
    if out_file is None:
        return picture
    write_image(Path(out_file), picture)
    return None
