"""Pictures of `run.py proposals`: each model's best masks, InstanceFCN's score maps, and the embeddings of pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from solo_bg import Instances, Segmenter
from solo_bg.disk.write import write_image

SHOWN, HEIGHT = 10, 88  # proposals of each model on the picture, and their height in pixels
LARGE = 240  # height of the picture of embeddings
WHITE = (255, 255, 255)
Picture = NDArray[np.uint8]


def write(text: str, picture: Any, place: tuple[int, int], size: float = 0.4) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, WHITE, 1, cv2.LINE_AA)


def strip(name: str, image: Picture, found: Instances) -> Picture:
    """A model's best masks on one image, side by side: each as it is on the darkened image, its score below."""
    size = (round(image.shape[1] * HEIGHT / image.shape[0]), HEIGHT)
    panels = []
    for number in range(SHOWN):
        shown = image // 4
        text = ''
        if number < len(found):
            mask = found[number].masks[0].cpu().numpy()
            shown = np.where(mask[..., None], image, shown)
            text = f'{float(found.scores[number]):.2f}'
        panel: Any = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
        write(text, panel, (4, HEIGHT - 5))
        panels.append(panel)
    row: Picture = np.concatenate(panels, 1)
    title = np.zeros((18, row.shape[1], 3), np.uint8)
    write(name, title, (4, 13), 0.45)
    return np.concatenate([title, row])


def draw_maps(segmenter: Segmenter, image: Picture, path: Path) -> None:
    """Write InstanceFCN's score maps of one image as a grid, one panel for each part of an instance, at the scale whose
    best window scores highest."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    head: Any = segmenter.model.mask_head
    hook = head.register_forward_hook(lambda *call: seen.append(call[-1]))
    segmenter([image])
    hook.remove()
    maps, _ = max(seen, key=lambda output: float(output[1].max()))
    values = (maps[0].sigmoid() * 255).byte().cpu().numpy()
    size = (round(values.shape[2] * HEIGHT / values.shape[1]), HEIGHT)
    panels = [cv2.applyColorMap(cv2.resize(one, size), cv2.COLORMAP_VIRIDIS) for one in values]
    panels = [cv2.copyMakeBorder(one, 2, 2, 2, 2, cv2.BORDER_CONSTANT) for one in panels]
    lines = [np.concatenate(panels[row * head.parts : (row + 1) * head.parts], 1) for row in range(head.parts)]
    write_image(path, np.concatenate(lines), 85)
    print(f'wrote {path}')


def draw_embeddings(segmenter: Segmenter, image: Picture, path: Path) -> None:
    """Write an image beside its pixels' embeddings as colours, the first three principal components, with the ten best
    seeds, numbered."""
    calls: list[tuple[Any, Any]] = []
    head: Any = segmenter.model.mask_head
    find_seeds = head.find_seeds

    def remember(*args: Any) -> Any:
        calls.append((args, find_seeds(*args)))
        return calls[-1][1]

    head.find_seeds = remember
    segmenter([image])
    del head.find_seeds
    ((embedding, _, meta), seeds) = calls[-1]
    rows, columns = (
        -(-cut * cells // whole)
        for cut, cells, whole in zip(meta['img_shape'], embedding.shape[-2:], meta['batch_input_shape'], strict=True)
    )
    colours = principal_colours(embedding[:, :rows, :columns])
    size = (round(image.shape[1] * LARGE / image.shape[0]), LARGE)
    panels: Sequence[Any] = [
        cv2.resize(image, size, interpolation=cv2.INTER_CUBIC),
        cv2.resize(colours, size, interpolation=cv2.INTER_NEAREST),
    ]
    for number, position in enumerate(seeds.positions[:SHOWN].tolist(), 1):
        y, x = divmod(position, embedding.shape[-1])
        place = round((x + 0.5) / columns * size[0]), round((y + 0.5) / rows * size[1])
        for panel in panels:
            cv2.circle(panel, place, 4, (0, 0, 0), -1, cv2.LINE_AA)
            cv2.circle(panel, place, 3, WHITE, -1, cv2.LINE_AA)
            write(str(number), panel, (place[0] + 5, place[1] + 4))
    write_image(path, np.concatenate(panels, 1), 90)
    print(f'wrote {path}')


def principal_colours(embedding: torch.Tensor) -> Picture:
    """Embeddings, float (D, h, w) -> uint8 (h, w, 3): the first three principal components, each stretched so that 1%
    of the pixels are darkest and 1% brightest."""
    pixels = embedding.flatten(1).T.double().cpu()
    pixels = pixels - pixels.mean(0)
    _, _, axes = torch.linalg.svd(pixels, full_matrices=False)
    parts = (pixels @ axes[:3].T).numpy()
    low, high = np.percentile(parts, [1, 99], axis=0)
    scaled = ((parts - low) / np.maximum(high - low, 1e-9)).clip(0, 1) * 255
    return scaled.round().astype(np.uint8).reshape(*embedding.shape[1:], 3)
