"""What the page draws and saves, against what Python makes of the same instances. Run by `make test-web`."""

import io
import json
import zipfile

import cv2
import numpy as np
import pytest
import torch
from browser import ORIGIN, StandIn, Visitor, open_browser, opened, png
from PIL import Image
from random_masks import random_masks

from solo_bg.coco.dataset import Annotations
from solo_bg.coco.pseudo_labels import predictions
from solo_bg.core.instances import Instances
from solo_bg.disk.decode import decode_image
from solo_bg.draw import backgrounds
from solo_bg.draw.compose import colourise, cutout, eliminated, mask, replace_background

pytestmark = pytest.mark.web
HEIGHT, WIDTH, COUNT = 60, 90, 12
CLASSES = ('person', 'cat', 'dog')
COLOUR = (10, 100, 200)


@pytest.fixture(scope='module')
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def scene():
    """An image and instances that overlap; scores lie on and beside the page's steps of 0.01."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    masks = random_masks(rng, 40, HEIGHT, WIDTH)
    masks = masks[(masks.sum((1, 2)) > 0) & (masks.sum((1, 2)) < HEIGHT * WIDTH)][:COUNT]
    assert len(masks) == COUNT
    scores = torch.tensor([0.95, 0.9, 0.7, 0.7, 0.6, 0.5, 0.42, 0.31, 0.3, 0.3, 0.29, 0.06])
    labels = torch.from_numpy(rng.integers(0, 3, COUNT))
    return image, Instances(torch.from_numpy(masks), labels, scores, CLASSES)


@pytest.fixture
def visit(browser, scene):
    """Opens the page with an image in it. By default the scene's, as a PNG file."""
    contexts = []

    def open_page(data=None, name='scene.png', instances=scene[1]):
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.route('**/*', StandIn({name: instances}))
        visitor = Visitor(page, ORIGIN)
        visitor.choose({name: png(scene[0]) if data is None else data})
        return visitor

    yield open_page
    for context in contexts:
        context.close()


def owned_pixel(instances, index):
    """A pixel, x and y, where this instance is on top; not in the picture's corners, which are rounded."""
    places = (instances.owner_map == index).nonzero()
    y, x = places[len(places) // 2].tolist()
    return x, y


def test_a_picture_without_a_clicked_instance_is_python_s(visit, scene):
    image, instances = torch.from_numpy(scene[0]), scene[1].select(0.3)
    visitor = visit()
    visitor.option('Result')  # nothing but the picture can be clicked
    visitor.click_pixel(*owned_pixel(instances, 1))
    assert visitor.status().startswith(f'{instances.names[1]} is taken out. {len(instances) - 1} of {len(instances)}')
    for margin in (0, 9):
        visitor.slide('margin', margin)
        keep = instances[[index for index in range(len(instances)) if index != 1]].grow(margin)
        mean = backgrounds.mean(image, None)
        wanted = {
            ('Eliminated', 'Black'): eliminated(image, keep).flip(2),
            ('Eliminated', 'Mean'): replace_background(image, keep.foreground, mean).flip(2),
            ('Eliminated', 'Colour'): replace_background(image, keep.foreground, torch.tensor(COLOUR[::-1])).flip(2),
            ('Mask', ''): mask(image, keep),
            ('Cut-out', ''): cutout(image, keep)[..., [2, 1, 0, 3]],
        }
        for (style, fill), expected in wanted.items():
            visitor.option(style)
            if fill:
                visitor.option(fill)
            if fill == 'Colour':
                visitor.slide('colour', '#' + bytes(COLOUR).hex())
            _, data = visitor.download('save-picture')
            assert np.array_equal(opened(data), expected.numpy()), (style, fill, margin)
    assert not visitor.complaints


def test_the_overlay_is_python_s_except_for_its_names(visit, scene):
    visitor = visit()
    visitor.option('Overlay')
    expected = colourise(torch.from_numpy(scene[0]), scene[1].select(0.3)).flip(2).numpy()
    assert np.array_equal(visitor.shown()[..., :3], expected)
    name, data = visitor.download('save-picture')
    assert name == 'scene_overlay.png'
    assert 0 < (opened(data) != expected).any(2).mean() < 0.5  # the names


@pytest.mark.parametrize('margin', (0, 1, 13))
def test_what_is_on_top_after_many_clicks_is_what_python_puts_there(visit, scene, margin):
    rng, instances = np.random.default_rng(margin), scene[1]
    visitor = visit()
    visitor.slide('threshold', 0.05)
    visitor.slide('margin', margin)
    out = set()
    for index in rng.integers(0, COUNT, 25).tolist():
        visitor.page.evaluate(f'() => toggle({index})')
        out ^= {index}
        keep = [one for one in range(COUNT) if one not in out]
        chosen = instances[keep].grow(margin)
        owner = visitor.array('picture.owner', np.uint16, (HEIGHT, WIDTH))
        assert np.array_equal(owner, np.array([0, *(one + 1 for one in keep)])[chosen.owner_map.numpy() + 1])
        foreground = visitor.array('picture.foreground', np.uint8, (HEIGHT, WIDTH))
        assert np.array_equal(foreground, chosen.foreground.numpy())
        assert visitor.page.evaluate('() => picture.kept') == foreground.sum()
        assert np.array_equal(visitor.shown()[..., :3], eliminated(torch.from_numpy(scene[0]), chosen).flip(2))


def test_the_threshold_and_the_classes_choose_as_the_command_does(visit, scene):
    instances, visitor = scene[1], visit()
    for threshold in (0.05, 0.06, 0.29, 0.3, 0.31, 0.42, 0.7, 0.9, 0.95, 1):
        visitor.slide('threshold', threshold)
        shown = visitor.array('picture.shown', np.uint8, COUNT).astype(bool)
        chosen = instances.select(threshold)
        assert shown.sum() == len(chosen), threshold
        expected = eliminated(torch.from_numpy(scene[0]), chosen).flip(2)
        assert np.array_equal(visitor.shown()[..., :3], expected), threshold
    visitor.slide('threshold', 0.3)
    visitor.page.get_by_label('cat', exact=True).uncheck()
    visitor.settle()
    expected = eliminated(torch.from_numpy(scene[0]), instances.select(0.3, ['person', 'dog'])).flip(2).numpy()
    assert np.array_equal(opened(visitor.download('save-picture')[1]), expected)


def test_a_click_works_only_inside_the_instance_s_box(visit, scene):
    instances, visitor = scene[1].select(0.3), visit()
    visitor.slide('margin', 2)
    visitor.page.evaluate("""() => {
        window.drawn = [];
        const put = CanvasRenderingContext2D.prototype.putImageData;
        CanvasRenderingContext2D.prototype.putImageData = function (...given) {
            window.drawn.push(given.slice(3));
            return put.apply(this, given);
        };
    }""")
    for index, (x0, y0, x1, y1) in enumerate(instances.host_boxes):
        visitor.page.evaluate(f'() => toggle({index})')
        left, top, right, bottom = max(x0 - 2, 0), max(y0 - 2, 0), min(x1 + 2, WIDTH), min(y1 + 2, HEIGHT)
        assert visitor.page.evaluate('() => window.drawn.pop()') == [left, top, right - left, bottom - top]
    assert visitor.page.evaluate('() => window.drawn.length') == 0


def test_a_click_on_what_was_taken_out_brings_it_back(visit, scene):
    instances, visitor = scene[1].select(0.3), visit()
    visitor.option('Result')
    before, pixel = visitor.shown(), owned_pixel(instances, 0)
    behind = [index for index, one in enumerate(instances.masks[:, pixel[1], pixel[0]].tolist()) if one]
    for _ in behind:  # each click takes out the one that is on top by then
        visitor.click_pixel(*pixel)
    assert visitor.shown()[pixel[1], pixel[0], :3].sum() == 0
    for _ in behind:
        visitor.click_pixel(*pixel)
    chips = visitor.page.locator('#chips button')
    assert chips.nth(0).get_attribute('aria-pressed') == 'true'
    visitor.page.click('#all')
    visitor.settle()
    assert np.array_equal(visitor.shown(), before)


def files_that_browsers_read_otherwise(rng):
    """Name -> an image file whose pixels a canvas, or the browser, would change."""
    colours = rng.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    upright = Image.fromarray(np.ascontiguousarray(colours[..., :3].swapaxes(0, 1)))
    exif = upright.getexif()
    exif[0x112] = 6
    files = {name: io.BytesIO() for name in ('alpha.png', 'turned.jpg', 'print.tif')}
    Image.fromarray(colours).save(files['alpha.png'], 'PNG')
    upright.save(files['turned.jpg'], 'JPEG', exif=exif, quality=90)
    Image.fromarray(colours[..., :3]).save(files['print.tif'], 'TIFF')
    return {name: file.getvalue() for name, file in files.items()} | {
        'deep.png': cv2.imencode('.png', deep)[1].tobytes()
    }


@pytest.mark.parametrize('name', ('alpha.png', 'turned.jpg', 'print.tif', 'deep.png'))
def test_the_page_sees_the_pixels_that_python_sees(visit, rng, name):
    data = files_that_browsers_read_otherwise(rng)[name]
    image = decode_image(data)
    whole = Instances(
        torch.ones(1, *image.shape[:2], dtype=torch.bool), torch.tensor([0]), torch.tensor([0.9]), CLASSES
    )
    visitor = visit(data, name, whole)
    assert np.array_equal(opened(visitor.download('save-picture')[1]), image[..., ::-1])


def test_noise_and_blur_resemble_python_s(visit, scene):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([x * 2, y * 4, 255 - x - y], 2).astype(np.uint8)
    visitor = visit(png(image), instances=scene[1])
    visitor.page.click('#none')
    visitor.option('Blur')
    expected = backgrounds.blur(torch.from_numpy(image), None).flip(2).numpy().astype(int)
    assert np.abs(visitor.shown()[..., :3] - expected).max() <= 4
    visitor.option('Noise')
    noise = visitor.shown()[..., :3].astype(float)
    assert abs(noise.mean() - 127.5) < 5 and abs(noise.std() - 73.9) < 4
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.05


def test_cut_outs_are_the_instances_that_stay(visit, scene):
    image, instances = scene[0], scene[1].select(0.3)
    name, data = visit().download('save-cutouts')
    assert name == 'scene_cutouts.zip'
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        pictures = [opened(archive.read(one)) for one in archive.namelist()]
    assert len(pictures) == len(instances)
    for picture, (x0, y0, x1, y1), crop in zip(pictures, instances.host_boxes, instances.crops, strict=True):
        assert np.array_equal(picture[..., :3], image[y0:y1, x0:x1, ::-1])
        assert np.array_equal(picture[..., 3], crop.numpy() * 255)


def test_the_coco_json_is_what_the_command_writes(visit, scene):
    instances, visitor = scene[1].select(0.3), visit()
    visitor.page.locator('#chips button').nth(2).click()
    coco = json.loads(visitor.download('save-coco')[1])
    Annotations(coco)  # it is a COCO data set
    assert coco['images'] == [{'id': 1, 'height': HEIGHT, 'width': WIDTH, 'file_name': 'scene.png'}]
    assert coco['categories'] == [{'id': label + 1, 'name': name} for label, name in enumerate(CLASSES)]
    expected = predictions(instances[[index for index in range(len(instances)) if index != 2]])
    for number, (found, wanted) in enumerate(zip(coco['annotations'], expected, strict=True), 1):
        assert found.pop('score') == pytest.approx(wanted.pop('score'), abs=1e-6)
        assert found == wanted | {'id': number, 'image_id': 1, 'category_id': wanted['category_id'] + 1}
