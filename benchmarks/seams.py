"""`run.py seams`: a picture of what tiles find in the demo images, with plain NMS and joined."""

import argparse

import cv2
import numpy as np
import torch
from tiles import as_pieces, nms

from solo_bg import InputImage, Instances, Segmenter, bundled
from solo_bg.core.pieces import instances_of
from solo_bg.core.tiles import grid
from solo_bg.disk.read import read_image
from solo_bg.disk.write import write_image
from solo_bg.draw.names import overlay
from solo_bg.sources.detector import Detector
from solo_bg.sources.tiled import Tiled, read_tiles

SHOWN = ('astronaut.png', 'chelsea.png', 'coffee.png', 'grace_hopper.jpg')  # two rows of two
CELL = 448, 576  # height and width of each
WIDTH, TITLE, GAP = 640, 26, 8  # pixels of the picture: of each half, of the words above it, between them


def seams(args: argparse.Namespace) -> None:
    """Draw the demo images side by side: the borders of tiles, and instances with plain NMS and joined."""
    source = Tiled(Detector(Segmenter(bundled.CONFIG, bundled.CHECKPOINT, 'cpu')), *read_tiles(args.tiles))
    pixels = demo_images()
    image, size = InputImage('', '', pixels), (pixels.shape[0], pixels.shape[1])
    pieces = [piece for found in source.tile_pieces(image) for piece in found]
    pieces += as_pieces(source.whole_instances(image), size)
    plain = nms(pieces, lambda both, one, other: both / min(one, other))
    halves = {
        'tiles, plain NMS': instances_of(plain, size, source.class_names),
        'tiles, joined (--tiles)': source.find(image),
    }
    drawn = [panel(name, pixels, found.select(args.score_thr), source) for name, found in halves.items()]
    gap = np.full((drawn[0].shape[0], GAP, 3), 255, np.uint8)
    write_image(args.picture, np.hstack([drawn[0], gap, drawn[1]]), 85)


def demo_images() -> np.ndarray:
    """Four of the demo images as one, uint8 (H, W, 3). Each is enlarged and cut to fill its place."""
    height, width = CELL
    fitted = []
    for name in SHOWN:
        photo = read_image(bundled.DEMO_IMAGES / name)
        factor = max(height / photo.shape[0], width / photo.shape[1])
        fitted.append(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[:height, :width])
    return np.vstack([np.hstack(fitted[:2]), np.hstack(fitted[2:])])


def panel(name: str, pixels: np.ndarray, found: Instances, source: Tiled) -> np.ndarray:
    """Half of the picture: the image darkened, instances in colours, the borders of tiles as white lines."""
    union = found.union.numpy()[..., None]
    shown = np.where(union, overlay(torch.from_numpy(pixels), found).numpy(), pixels // 3)
    for x0, y0, x1, y1 in grid(found.size, source.side, source.overlap):
        cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), (255, 255, 255), 1)
    height = round(WIDTH * shown.shape[0] / shown.shape[1])
    small = cv2.resize(shown, (WIDTH, height), interpolation=cv2.INTER_AREA)
    title = np.full((TITLE, WIDTH, 3), 255, np.uint8)
    words = f'{name}: {len(found)} instances'
    cv2.putText(title, words, (2, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([title, small])
