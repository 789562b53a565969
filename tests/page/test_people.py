"""The page as people use it: by keyboard, on a phone, with a screen reader, with many files and with broken ones. Run
by `make test-web`."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from browser import ORIGIN, StandIn, Visitor, open_browser, opened, png

from solo_bg.core.instances import Instances
from solo_bg.draw.compose import eliminate_background

pytestmark = pytest.mark.web
SIZE = 48, 64
BROKEN = b'not an image'
SCREENS = {
    'light': {'color_scheme': 'light'},
    'dark': {'color_scheme': 'dark'},
    'phone': {'viewport': {'width': 360, 'height': 740}, 'is_mobile': True, 'has_touch': True},
}


@pytest.fixture(scope='module')
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def images(rng):
    """Twenty images, by name."""
    return {f'image {number}.png': rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for number in range(20)}


@pytest.fixture
def stand_in(images):
    """Each image has two instances: a cat on a sofa."""
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 10:30, 5:25] = True
    masks[1, 20:45, 15:60] = True
    scores, labels = torch.tensor([0.9, 0.6]), torch.tensor([1, 0])
    return StandIn(dict.fromkeys(images, Instances(masks, labels, scores, ('sofa', 'cat'))))


@pytest.fixture
def visit(browser, stand_in):
    """Opens the page in a context of its own."""
    contexts = []

    def open_page(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.route('**/*', stand_in)
        return Visitor(page, ORIGIN)

    yield open_page
    for context in contexts:
        context.close()


def some(images, count):
    return {name: png(pixels) for name, pixels in list(images.items())[:count]}


def press_until(page, key, selector, most=40):
    """Press a key until this element has the focus."""
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate('(selector) => document.activeElement.matches(selector)', selector):
            return
    pytest.fail(f'{key} does not lead to {selector}')


def test_everything_can_be_done_by_keyboard(visit, images):
    visitor = visit()
    page = visitor.page
    page.on('filechooser', lambda chooser: None)  # so that the browser is told in time to open no dialog
    press_until(page, 'Tab', '#files', 3)
    with page.expect_file_chooser() as caught:
        page.keyboard.press('Enter')
    pixels = images['image 0.png']
    caught.value.set_files([{'name': 'image 0.png', 'mimeType': 'image/png', 'buffer': png(pixels)}])
    visitor.wait('2 of 2 instances kept')
    press_until(page, 'Tab', '[name=mode]')
    page.keyboard.press('ArrowRight')
    assert page.locator('#stage.beside').count() == 1
    page.keyboard.press('ArrowLeft')
    press_until(page, 'Tab', '#split')
    page.keyboard.press('Home')
    assert page.locator('#stage').evaluate('(stage) => stage.style.getPropertyValue("--split")') == '0%'
    press_until(page, 'Tab', '#chips button')
    page.keyboard.press('ArrowRight')
    page.keyboard.press('Space')
    assert visitor.status().startswith('sofa is taken out. 1 of 2 instances kept')
    press_until(page, 'Tab', '#threshold', 1)  # the chips are one stop
    press_until(page, 'Tab', '[name=fill]')
    page.keyboard.press('ArrowRight')
    assert page.locator('#colour').is_visible()
    press_until(page, 'Tab', '#margin')
    page.keyboard.press('ArrowRight')
    assert page.locator('#margin-value').inner_text() == '1 px'
    page.keyboard.press('ArrowLeft')
    press_until(page, 'Shift+Tab', '[name=fill]')
    page.keyboard.press('ArrowLeft')
    press_until(page, 'Tab', '#save-picture')
    with page.expect_download() as caught:
        page.keyboard.press('Enter')
    mask = np.zeros(SIZE, bool)
    mask[10:30, 5:25] = True
    assert np.array_equal(opened(caught.value.path().read_bytes()), (pixels * mask[..., None])[..., ::-1])
    assert not visitor.complaints


def test_a_broken_file_is_explained(visit):
    visitor = visit()
    visitor.choose({'broken.jpg': BROKEN}, ready='')
    alert = visitor.page.get_by_role('alert')
    alert.wait_for()
    words = alert.text_content()
    assert words.startswith('broken.jpg could not be used')
    for title, text in (
        ('Given', 'a file that is not an image'),
        ('Expected', 'an image file that can be read whole'),
        ('What to do', 'send another file'),
    ):
        assert title + text in words
    assert visitor.page.locator('#save-picture').is_disabled() and visitor.status() == ''
    visitor.page.click('#remove')
    assert visitor.page.locator('#welcome').is_visible()


def test_a_server_that_is_gone_is_explained(visit, stand_in, images):
    visitor = visit()
    visitor.page.route('**/api/segment', lambda route: route.abort())
    visitor.choose(some(images, 1), ready='')
    assert 'no answer from the server' in visitor.page.get_by_role('alert').text_content()


def test_twenty_files_become_one_zip(visit, stand_in, images):
    stand_in.refusals = 3  # a busy server is asked again
    visitor = visit()
    visitor.choose(some(images, 20) | {'broken.jpg': BROKEN}, ready='20 of 21 images are ready. 1 could not be used.')
    visitor.page.get_by_role('button', name='image 7.png, ready').click()
    visitor.wait('2 of 2 instances')
    visitor.page.locator('#chips button').nth(0).click()
    name, data = visitor.download('save-all')
    assert name == 'pictures.zip'
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        for name, image in images.items():
            instances = stand_in.instances[name][[1]] if name == 'image 7.png' else stand_in.instances[name]
            expected = eliminate_background(image, instances)[..., ::-1]
            assert np.array_equal(opened(archive.read(f'eliminated/{name}')), expected), name
        coco = json.loads(archive.read('annotations.json'))
        assert archive.read('failed.txt').startswith(b'broken.jpg: a file that is not an image')
        assert len(archive.namelist()) == 22
    assert [image['file_name'] for image in coco['images']] == list(images)
    assert [one['id'] for one in coco['annotations']] == list(range(1, 40))
    assert stand_in.asked.count('/api/segment') == 20 + 1 + 3
    assert visitor.status() == 'Downloaded: 20 pictures. 1 image failed; failed.txt says why.'


def test_files_with_one_name_get_different_names_in_the_zip(visit, images):
    visitor = visit()
    visitor.choose(some(images, 1), ready='2 of 2 instances')
    visitor.choose(some(images, 1), ready='2 of 2 images')
    with zipfile.ZipFile(io.BytesIO(visitor.download('save-all')[1])) as archive:
        assert archive.namelist()[:2] == ['eliminated/image 0.png', 'eliminated/image 0 2.png']


@pytest.mark.parametrize('how', ('drop', 'paste'))
def test_images_can_be_dropped_and_pasted(visit, images, how):
    visitor = visit()
    visitor.page.evaluate(
        """([how, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'image 3.png'));
            const event = how === 'drop' ? new DragEvent('drop', { dataTransfer: data, bubbles: true })
                : new ClipboardEvent('paste', { clipboardData: data, bubbles: true });
            document.body.dispatchEvent(event);
        }""",
        [how, list(png(images['image 3.png']))],
    )
    visitor.wait('2 of 2 instances kept')


def test_a_server_with_a_token_is_asked_with_it(visit, images, stand_in):
    error = {'given': 'no token', 'expected': 'a token', 'do': 'give one'}

    def guard(route):
        if route.request.headers.get('authorization') == 'Bearer right':
            route.fallback()
        else:
            route.fulfill(status=401, json={'error': error})

    visitor = visit()
    visitor.page.route('**/api/*', guard)
    visitor.choose(some(images, 1), ready='')
    for token in ('wrong', 'right'):
        visitor.page.locator('#token-dialog[open]').wait_for()
        visitor.page.get_by_label('Token', exact=True).fill(token)
        visitor.page.keyboard.press('Enter')
    visitor.wait('2 of 2 instances kept')
    assert visitor.page.locator('#model').inner_text() == 'stand_in · 2 classes · cpu'


@pytest.mark.parametrize('screen', SCREENS)
def test_axe_finds_nothing_serious(visit, images, screen):
    visitor = visit(**SCREENS[screen])
    assert serious(visitor) == []
    visitor.choose(some(images, 2) | {'broken.jpg': BROKEN}, ready='2 of 3 images')
    visitor.page.locator('#chips button').nth(0).click()
    visitor.option('Colour')
    assert serious(visitor) == []
    visitor.page.get_by_role('button', name='broken.jpg, failed').click()
    assert serious(visitor) == []
    assert visitor.page.evaluate('() => document.documentElement.scrollWidth <= innerWidth')


def serious(visitor):
    """What axe-core calls serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visitor.page).response['violations']
    bad = [one for one in found if one['impact'] in ('serious', 'critical')]
    return [(one['id'], [node['html'] for node in one['nodes']]) for one in bad]


def test_the_slider_moves_with_the_pointer_and_takes_nothing_out(visit, images):
    visitor = visit()
    visitor.choose(some(images, 1), ready='2 of 2 instances')
    box = visitor.page.locator('#result-figure').bounding_box()
    middle = box['y'] + box['height'] / 2
    visitor.page.mouse.move(box['x'] + box['width'] / 2, middle)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box['x'] + box['width'] / 4, middle)
    visitor.page.mouse.up()
    assert abs(float(visitor.page.locator('#split').input_value()) - 25) <= 1
    assert visitor.page.locator('#chips [aria-pressed=true]').count() == 2


def test_the_page_asks_its_own_server_only(visit, images, stand_in):
    visitor = visit()
    visitor.choose(some(images, 2), ready='2 of 2 images')
    assert set(stand_in.asked) == {'/', '/api/models', '/api/segment'}
    assert not visitor.complaints
