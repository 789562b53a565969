"""`run.py megapixels`: the memory that the command takes for one large image in tiles, above its model."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from solo_bg.scenes import draw_scene

SCENE = 400, 500  # height and width of a scene in the image
SCENES = 12  # different ones
CHILD = """
import resource, sys
from pathlib import Path
from solo_bg import Segmenter, bundled
from solo_bg.cli.main import main
model = Segmenter(bundled.CONFIG, bundled.CHECKPOINT, 'cpu')
status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
loaded = int(status['VmRSS'].split()[0])
code = main(sys.argv[1:])
print('KB', loaded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def megapixels(args: argparse.Namespace) -> None:
    """Measure the peak memory of the command on one large image of drawn scenes, above its memory with the model."""
    with tempfile.TemporaryDirectory() as folder:
        side = round(1000 * args.megapixels**0.5)
        start = Path(folder, 'in', 'large.png')
        start.parent.mkdir()
        cv2.imwrite(str(start), draw_large(side))
        begun = time.perf_counter()
        loaded, peak, printed = measure(
            [
                str(start),
                '--tiles',
                args.tiles,
                '--styles',
                args.styles,
                '--max-pixels',
                str(side**2),
                '-o',
                str(Path(folder, 'out')),
            ]
        )
        seconds = time.perf_counter() - begun
    Console().print(
        printed,
        f'{side}x{side} pixels, tiles of {args.tiles}, styles {args.styles}: {loaded / 1024:.0f} MB '
        f'with the model, {(peak - loaded) / 1024:.0f} MB above that at most, {seconds:.0f} s',
    )


def measure(argv: list[str]) -> tuple[int, int, str]:
    """KiB that are resident once the model is loaded, and at most, while the command runs; and what it printed."""
    done = subprocess.run([sys.executable, '-c', CHILD, *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    printed, _, figures = done.stdout.rpartition('KB')
    loaded, peak = map(int, figures.split())
    return loaded, peak, printed


def draw_large(side: int) -> np.ndarray:
    """Drawn scenes side by side, uint8 (side, side, 3)."""
    height, width = SCENE
    scenes = [draw_scene(seed, height, width)[0] for seed in range(SCENES)]
    image = np.empty((side, side, 3), np.uint8)
    for row, y in enumerate(range(0, side, height)):
        for column, x in enumerate(range(0, side, width)):
            part = image[y : y + height, x : x + width]
            part[:] = scenes[(5 * row + column) % SCENES][: part.shape[0], : part.shape[1]]
    return image
