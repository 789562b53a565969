"""Drives solo_bg/web/page.html in Chromium. `Visitor` does what a person does; `StandIn` answers for the server."""

import base64
import io
import os
import re
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from solo_bg.disk.decode import decode_image
from solo_bg.disk.encode import encode_image
from solo_bg.draw.compose import colours
from solo_bg.errors import ImageError
from solo_bg.web.answers import list_instances
from solo_bg.web.app import script_hashes
from solo_bg.web.errors import bad_image
from solo_bg.web.guard import page_policy

PAGE = ROOT / 'solo_bg/web/page.html'
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
ORIGIN = 'http://127.0.0.1:5003'
TIMEOUT = 120_000  # milliseconds; a machine that does much else is slow
LOADED = {'name': 'stand_in', 'source': 'model', 'device': 'cpu', 'has_scores': True}


def find_browser():
    """The path of a Chromium or Chrome: the one that CHROMIUM names, or a usual one. Ends the tests without one."""
    found = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.exit('no Chromium found; install one (apt-get install chromium), or name it in CHROMIUM', returncode=1)
    return found


@contextmanager
def open_browser():
    from playwright.sync_api import sync_playwright

    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])  # root may not have one
        yield browser
        browser.close()


class StandIn:
    """Answers for the server without a model: what it knows is `instances`, by the name of the image's file.

    Attributes:
        asked: the paths that were asked for, in order.
        refusals: how many of the next requests with an image get a 503.
    """

    def __init__(self, instances):
        self.instances, self.asked, self.refusals = instances, [], 0

    def __call__(self, route):
        path = route.request.url.removeprefix(ORIGIN)
        self.asked.append(path)
        if path == '/':
            page = PAGE.read_bytes()
            policy = page_policy(script_hashes(page))
            route.fulfill(body=page, content_type='text/html', headers={'Content-Security-Policy': policy})
        elif path == '/api/models':
            classes = list(next(iter(self.instances.values())).class_names)
            route.fulfill(json={'loaded': LOADED | {'class_names': classes}, 'known': []})
        elif self.refusals:
            self.refusals -= 1
            route.fulfill(status=503, json={}, headers={'Retry-After': '0.05'})
        else:
            self.answer(route, path, *parts_of(route.request))

    def answer(self, route, path, name, data, fields):
        try:
            pixels = decode_image(data)
        except ImageError as error:
            response = bad_image(str(error)).response()
            route.fulfill(status=response.status_code, body=response.body, content_type='application/json')
            return
        if path == '/api/segment':
            assert fields == {'score_thr': '0.05'}
            route.fulfill(json=answer_of(self.instances[name]))
        else:
            assert path == '/api/eliminate' and fields == {'styles': 'cutout', 'on_empty': 'copy', 'format': 'png'}
            opacity = (np.arange(pixels.shape[1]) % 3 * 127).astype(np.uint8)  # any: the page wants the colours only
            cutout = np.dstack([pixels, np.broadcast_to(opacity, pixels.shape[:2])])
            route.fulfill(body=encode_image(cutout, '.png'), content_type='image/png')


def answer_of(instances):
    """What the server answers to /api/segment."""
    height, width = instances.size
    palette = colours(len(instances)).flip(1).tolist()
    listed = list_instances(instances, palette, instances.areas.tolist())
    names = list(instances.class_names)
    return {'image': {'width': width, 'height': height}, 'class_names': names, 'instances': listed, 'owner_map': ''}


def parts_of(request):
    """The file's name, its bytes, and the other fields of a form."""
    boundary = re.search('boundary=(.+)', request.headers['content-type'])[1].encode()
    fields, name, image = {}, '', b''
    for part in request.post_data_buffer.split(b'--' + boundary)[1:-1]:
        head, content = part.strip(b'\r\n').split(b'\r\n\r\n', 1) if b'\r\n\r\n' in part else (part, b'')
        if found := re.search(r'filename="(.*?)"', head.decode()):
            name, image = found[1], part.split(b'\r\n\r\n', 1)[1][:-2]
        else:
            fields[re.search('name="(.*?)"', head.decode())[1]] = content.decode()
    return name, image, fields


class Visitor:
    """A page that is open, and the hands and eyes of the person before it.

    Attributes:
        complaints: what the browser's console said of errors, such as what the content security policy refused.
    """

    def __init__(self, page, address):
        self.page, self.complaints = page, []
        page.set_default_timeout(TIMEOUT)
        page.on('pageerror', lambda error: self.complaints.append(str(error)))
        page.on('console', lambda line: line.type == 'error' and self.complaints.append(line.text))
        page.goto(address)

    def choose(self, files, ready=' of '):
        """Choose files, name -> bytes, and wait until the status, if given, says what is `ready`."""
        payload = [{'name': name, 'mimeType': '', 'buffer': data} for name, data in files.items()]
        self.page.set_input_files('#files', payload)
        if ready:
            self.wait(ready)

    def wait(self, text):
        self.page.locator('#status:not(.busy)', has_text=text).wait_for()

    def status(self):
        return self.page.locator('#status').inner_text()

    def option(self, name):
        """Choose among radio buttons, by the words on one."""
        self.page.locator('.options label', has_text=re.compile(f'^{name}$')).click()
        self.settle()

    def slide(self, which, value):
        self.page.locator(f'#{which}').fill(str(value))
        self.settle()

    def settle(self):
        """Wait until the page has drawn what it was asked for."""
        self.page.evaluate('() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')

    def click_pixel(self, x, y):
        """Click the middle of a pixel of the picture."""
        figure = self.page.locator('#result-figure')
        figure.scroll_into_view_if_needed()
        box, (width, height) = figure.bounding_box(), self.page.evaluate('() => [picture.width, picture.height]')
        self.page.mouse.click(
            box['x'] + (x + 0.5) / width * box['width'], box['y'] + (y + 0.5) / height * box['height']
        )

    def download(self, button):
        """Click a button and return the name and the bytes of the file that it gives."""
        with self.page.expect_download() as caught:
            self.page.click(f'#{button}')
        return caught.value.suggested_filename, caught.value.path().read_bytes()

    def array(self, expression, dtype, shape):
        """A typed array of the page as an array."""
        script = f"""() => {{
            const array = {expression}, bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
            let text = '';
            for (let at = 0; at < bytes.length; at += 8192) {{
                text += String.fromCharCode(...bytes.subarray(at, at + 8192));
            }}
            return btoa(text);
        }}"""
        return np.frombuffer(base64.b64decode(self.page.evaluate(script)), dtype).reshape(shape)

    def shown(self):
        """The picture on the screen, uint8 (H, W, 4), RGBA."""
        size = self.page.evaluate('() => [picture.height, picture.width]')
        return self.array('picture.output.data', np.uint8, (*size, 4))


def opened(data):
    """The pixels of a PNG file as they are in it, RGB, RGBA or grey."""
    return np.asarray(Image.open(io.BytesIO(data)))


def png(pixels):
    """A PNG file of an image, BGR."""
    return encode_image(np.ascontiguousarray(pixels), '.png')
