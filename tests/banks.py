"""Banks for tests: crops that are known pixel by pixel."""

import json

import cv2
import numpy as np

from solo_bg.bank.bank import Bank


def make_bank(root, crops, image_size=(100, 100), classes=None, **more):
    """Write crops, uint8 (h, w, 4) each, and their index below `root`; the bank of them all."""
    (root / 'instances').mkdir(parents=True)
    rows = []
    for number, crop in enumerate(crops):
        height, width = crop.shape[:2]
        cv2.imwrite(str(root / f'instances/{number}.png'), crop)
        row = {
            'file': f'instances/{number}.png',
            'class': (classes or ['thing'] * len(crops))[number],
            'score': 0.5 + number / 100,
            'box': [10, 20, 10 + width, 20 + height],
            'width': width,
            'height': height,
            'image': 'a.jpg',
            'image_width': image_size[1],
            'image_height': image_size[0],
            'licence': f'licence {number}',
        }
        rows.append({**row, **{key: values[number] for key, values in more.items()}})
    (root / 'instances.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return Bank.from_path(root, smallest=1)


def noise_crops(rng, sizes):
    """Opaque crops of noise."""
    return [np.dstack([rng.integers(0, 256, (*size, 3)), np.full(size, 255)]).astype(np.uint8) for size in sizes]
