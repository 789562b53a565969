"""The page of a report in a browser, opened from disk."""

import json
import shutil

import cv2
import numpy as np
import pytest
from coco_data import make_dataset
from report_data import parse

from solo_bg.cli import main as cli
from solo_bg.runs.report import write

api = pytest.importorskip('playwright.sync_api')
expect = api.expect
expect.set_options(timeout=20_000)
pytestmark = pytest.mark.web
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
NAMES = [
    '<img src=x onerror=alert(1)>.png',
    'a"b\'c & d.png',
    'new\nline.png',
    '100%23 #?.png',
    'é 日本.png',
    'byte\udcff.png',
]


@pytest.fixture(scope='module')
def browser():
    if not CHROMIUM:
        pytest.skip('there is no Chromium')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page whose errors, dialogs and requests to other hosts fail the test."""
    context = browser.new_context(viewport={'width': 1200, 'height': 900}, reduced_motion='reduce')
    page, wrong = context.new_page(), []
    page.set_default_timeout(20_000)
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('console', lambda message: wrong.append(message.text) if message.type == 'error' else None)
    page.on('requestfailed', lambda request: wrong.append(request.url))
    page.on('dialog', lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on('request', lambda request: request.url.startswith(('file:', 'data:')) or wrong.append(request.url))
    yield page
    context.close()
    assert wrong == []


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    """A run over drawn scenes with awkward names, an image without instances, and a broken one."""
    top = tmp_path_factory.mktemp('report')
    make_dataset(top, count=8)
    coco = json.loads((top / 'instances.json').read_text())
    images = top / 'images'
    for index, name in enumerate(NAMES):
        entry = coco['images'][index]
        (images / entry['file_name']).rename(images / name)
        entry['file_name'] = name
    cv2.imwrite(str(images / 'plain.png'), np.full((60, 80, 3), 90, np.uint8))
    (images / 'broken.png').write_bytes(b'no image')
    size = {'height': 60, 'width': 80}
    coco['images'] += [{'id': 901, 'file_name': 'plain.png', **size}, {'id': 902, 'file_name': 'broken.png', **size}]
    (top / 'instances.json').write_text(json.dumps(coco))
    words = ['--source', 'gt', '--ann', str(top / 'instances.json'), str(images), '--threads', '1', '--quiet']
    assert cli.main([*words, '-o', str(top / 'out')]) == 1
    return top / 'out'


def open_report(page, out, more=''):
    page.goto(f'file://{out}/report.html{more}')


def shown(page):
    """The inputs of the cards, as the page writes them."""
    return page.locator('.card').evaluate_all('cards => cards.map(card => card.title)')


def wait_for_focus(page, title):
    """Wait until this card has the focus: the page moves it at the event `close`, a moment after the dialog is gone."""
    page.wait_for_function('(title) => document.activeElement.title === title', arg=title)


def test_every_record_has_a_card_and_every_picture_loads(page, out):
    open_report(page, out)
    rows = parse(out)[1]['rows']
    assert len(shown(page)) == len(rows) == 10
    assert page.locator('#figures li').first.inner_text().split() == ['8', 'Done']
    page.locator('.card').first.click()
    for row in rows:
        pictures = page.locator('#pictures img')
        assert pictures.count() == (0 if row['status'] == 'error' else 1 + len(row['outputs']))
        for index in range(pictures.count()):  # the originals too, whatever their names
            expect(pictures.nth(index)).to_have_js_property('naturalWidth', 80)
            assert not pictures.nth(index).evaluate('image => image.closest(".part")')
        page.keyboard.press('ArrowRight')
    assert page.locator('#viewer-title').inner_text() == shown(page)[-1]
    page.keyboard.press('Escape')
    wait_for_focus(page, shown(page)[-1])


def test_thumbnails_show_one_tile_each(page, out):
    open_report(page, out)
    part = page.locator('.card .part').first
    expect(part.locator('img')).to_have_js_property('naturalWidth', 240)
    expect(part.locator('img')).to_have_js_property('naturalHeight', 60)
    ratio = part.evaluate('part => part.clientWidth / part.clientHeight')
    assert ratio == pytest.approx(80 / 60, rel=0.02)
    assert page.locator('.card .frame').count() == 9 * 3
    page.get_by_label('Overlay').check(force=True)
    assert page.locator('.card .frame').count() == 9


def test_filters_by_status_text_class_share_and_reason(page, out):
    open_report(page, out)
    rows = parse(out)[1]['rows']

    def wait_for(count):
        expect(page.locator('.card')).to_have_count(count)

    page.locator('#statuses label', has_text='Failed').click()
    wait_for(1)
    assert shown(page)[0].endswith('/broken.png')
    page.get_by_role('button', name='Clear the filters').click()
    wait_for(10)
    page.locator('#text').fill('PLAIN')
    wait_for(1)
    page.locator('#text').fill('')
    name = parse(out)[1]['summary']['classes'][0][0]
    page.locator('#class').select_option(name)
    wait_for(sum(name in row['classes'] for row in rows))
    page.locator('#class').select_option('')
    shares = sorted(row['share'] for row in rows if row['share'] is not None)
    page.locator('#least').fill(str(100 * shares[4] - 1e-6))
    wait_for(len(shares) - 4)
    assert 'least=' in page.url
    open_report(page, out, page.url[page.url.index('#') :])  # the address keeps the filters
    wait_for(len(shares) - 4)
    page.get_by_role('button', name='Clear the filters').click()
    page.locator('#reasons button').first.click()
    wait_for(1)
    assert 'with the reason' in page.locator('#count').inner_text()
    page.get_by_role('button', name='Clear the filters').click()
    bar = page.locator('#shares button:enabled').last
    label = bar.get_attribute('aria-label')
    bar.click()
    wait_for(int(label.split(': ')[1].split()[0]))


def test_it_works_by_keyboard(page, out):
    open_report(page, out)
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.textContent') == 'Skip to the images'
    page.keyboard.press('Enter')
    page.keyboard.press('Tab')
    page.keyboard.press('ArrowRight')  # the next status
    assert page.evaluate('document.querySelectorAll(".card").length') == 8
    page.locator('.card').first.focus()
    page.keyboard.press('Enter')
    assert page.locator('dialog').is_visible()
    page.keyboard.press('ArrowRight')
    page.keyboard.press('Escape')
    assert not page.locator('dialog').is_visible()
    wait_for_focus(page, shown(page)[1])


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_can_be_read_and_nothing_is_wider_than_a_phone(page, out, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({'width': 360, 'height': 700})
    open_report(page, out)
    assert page.evaluate('document.documentElement.scrollWidth') <= 360
    ratios = page.evaluate("""() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => style.getPropertyValue(name).trim().slice(1).match(/../g).map((part) => {
        const value = parseInt(part, 16) / 255;
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      }).reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
      const pairs = ['--text', '--quiet', '--accent', '--good', '--warn', '--bad'].flatMap((name) =>
        ['--page', '--panel'].map((ground) => [name, ground]));
      return pairs.map(([one, other]) => [light(one), light(other)].sort((a, b) => b - a))
        .map(([more, less]) => (more + 0.05) / (less + 0.05));
    }""")
    assert min(ratios) >= 4.5  # WCAG 2, level AA


def test_chunks_are_loaded_from_disk(page, tmp_path):
    from test_report import many_lines

    write.write_report(tmp_path, {'report': 'light', 'inputs': 9000, 'end': None}, many_lines(9000))
    open_report(page, tmp_path)
    expect(page.locator('#count')).to_have_text('9,000 images')
    assert page.locator('.card').count() == 48 and page.locator('#pager').inner_text().count('188') == 1
    page.locator('#text').fill('008999')
    expect(page.locator('.card')).to_have_count(1)
    page.locator('#text').fill('')
    page.locator('#reasons button').first.click()
    expect(page.locator('#count')).to_contain_text('180 of 9,000 images')


@pytest.mark.slow
def test_100_000_records_can_be_filtered(page, tmp_path):
    from test_report import many_lines

    write.write_report(tmp_path, {'report': 'light', 'inputs': 100_000, 'end': None}, many_lines(100_000))
    open_report(page, tmp_path)
    expect(page.locator('#count')).to_have_text('100,000 images', timeout=120_000)
    took = page.evaluate("""() => {
      const filters = [{ text: '09999' }, { class: 'class 7' }, { least: '50', most: '60' }, { sort: '-share' }];
      return filters.map((wanted) => {
        const start = performance.now();
        goTo(wanted);
        return Math.round(performance.now() - start);
      });
    }""")
    print(f'{took} ms to filter by text, class and share, and to sort')
