"""The page: how long a click on an instance takes in a browser, with a stand-in for the server."""

import argparse
import os
import shutil
from typing import Any

import cv2
import numpy as np
import torch

from solo_bg.core.instances import Instances
from solo_bg.draw.compose import colours
from solo_bg.web.answers import list_instances
from solo_bg.web.app import PAGE

ORIGIN = 'http://127.0.0.1:5003'
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
CLICK_ALL = """async () => {
    const times = [];
    for (const chip of document.querySelectorAll('#chips button')) {
        const start = performance.now();
        chip.click();
        const script = performance.now() - start;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        times.push([script, performance.now() - start]);
    }
    return times;
}"""


def page(args: argparse.Namespace) -> None:
    """A click on each of many instances of a large image, in Chromium."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        raise SystemExit('no Chromium found; install one, or name it in CHROMIUM')
    image, answer = scene(args.size[0], args.size[1], args.instances)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=['--no-sandbox'])
        opened = browser.new_page(viewport={'width': 1360, 'height': 900})
        opened.set_default_timeout(600_000)
        opened.route('**/*', lambda route: respond(route, answer))
        opened.goto(ORIGIN)
        opened.set_input_files('#files', [{'name': 'image.jpg', 'mimeType': 'image/jpeg', 'buffer': image}])
        opened.locator('#status:not(.busy)', has_text=' kept').wait_for()
        for margin in (0, 10):
            opened.locator('#margin').fill(str(margin))
            times = np.array(opened.evaluate(CLICK_ALL))  # each click takes out one more instance
            opened.click('#all')
            report(f'margin {margin}', times)
        browser.close()


def report(what: str, times: np.ndarray) -> None:
    for name, column in zip(('script', 'until it is drawn'), times.T, strict=True):
        median, most = np.percentile(column, [50, 95])
        print(f'{what}, {name}: median {median:.1f} ms, 95% within {most:.1f} ms')


def respond(route: Any, answer: dict[str, Any]) -> None:
    """Answer for the server."""
    if route.request.url.endswith('/api/segment'):
        route.fulfill(json=answer)
    elif route.request.url.endswith('/api/models'):
        route.fulfill(status=404)
    else:
        route.fulfill(path=PAGE, content_type='text/html')


def scene(width: int, height: int, count: int) -> tuple[bytes, dict[str, Any]]:
    """A JPEG file, and what the server would answer: ellipses of random sizes, one over the other."""
    random = np.random.default_rng(0)
    boxes, crops = [], []
    for _ in range(count):
        radius = width * np.exp(random.uniform(np.log(0.015), np.log(0.225)))
        x, y = random.uniform(0, width), random.uniform(0, height)
        x0, y0 = int(max(x - radius, 0)), int(max(y - radius, 0))
        x1, y1 = int(min(x + radius, width)), int(min(y + radius, height))
        rows, columns = np.mgrid[y0:y1, x0:x1]
        crops.append(torch.from_numpy((columns - x) ** 2 + (rows - y) ** 2 < radius**2))
        boxes.append((x0, y0, x1, y1))
    labels, scores = torch.zeros(count, dtype=torch.int64), torch.linspace(0.99, 0.4, count)
    instances = Instances.from_crops(torch.tensor(boxes), crops, (height, width), labels, scores, ('thing',))
    listed = list_instances(instances, colours(count).flip(1).tolist(), instances.areas.tolist())
    answer = {'image': {'width': width, 'height': height}, 'class_names': ['thing'], 'instances': listed}
    gradient = np.mgrid[:height, :width].sum(0) // ((width + height) // 256 + 1)
    return bytes(cv2.imencode('.jpg', gradient.astype(np.uint8))[1]), answer
