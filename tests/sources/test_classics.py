"""Sources without weights: each against OpenCV or scikit-image called directly, and on pictures with a known answer."""

import cv2
import numpy as np
import pytest
import torch
from conftest import CHECKPOINT, CONFIG
from scipy import ndimage
from test_sources import AnnotatedContract, SourceContract

from solo_bg import ImageError, InputImage, Instances, SetupError
from solo_bg.cli import main as cli
from solo_bg.sources import SOURCES, load_source
from solo_bg.sources.base import SourceSettings
from solo_bg.sources.classic import enlarge, off_border, shrink
from solo_bg.sources.grabcut import GrabCut, GrabCutModel, grabcut, inside, widen
from solo_bg.sources.kmeans import KMeans, features
from solo_bg.sources.ncut import NormalisedCut, best_cut, regions
from solo_bg.sources.otsu import Otsu
from solo_bg.sources.region_growing import RegionGrowing, border_points, grow, read_points

CLASSICS = ('kmeans', 'otsu', 'region-growing', 'grabcut', 'ncut')


def image_of(pixels, annotated=None):
    return InputImage('a', 'a.png', pixels, annotated=annotated)


def mask_of(source, pixels):
    return source([image_of(pixels)])[0].union.numpy()


@pytest.fixture
def disc(rng):
    """A red disc on green, a little noise over both; and the disc's mask."""
    y, x = np.mgrid[:80, :120]
    mask = np.hypot(y - 40, x - 65) < 22
    pixels = np.where(mask[..., None], (40, 40, 200), (50, 160, 60)) + rng.normal(0, 4, (80, 120, 3))
    return pixels.clip(0, 255).astype(np.uint8), mask


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


class TestKMeans(SourceContract):
    @pytest.fixture
    def source(self):
        return KMeans()


class TestOtsu(SourceContract):
    @pytest.fixture
    def source(self):
        return Otsu(blur=1.0)


class TestRegionGrowing(SourceContract):
    @pytest.fixture
    def source(self):
        return RegionGrowing()


class TestGrabCut(SourceContract):
    @pytest.fixture
    def source(self):
        return GrabCut()


class TestGrabCutFromAnnotations(AnnotatedContract):
    @pytest.fixture
    def source(self):
        return GrabCut()

    def test_it_stays_near_what_is_annotated(self, source, pictures):
        for picture, found in zip(pictures, source(pictures), strict=True):
            union = picture.annotated.instances.union.numpy()
            near = widen(union, 3 + round(0.03 * max(union.shape)))
            assert not (found.union.numpy() & ~near).any()


class TestGrabCutFromModel(SourceContract):
    @pytest.fixture
    def source(self, segmenter):
        from solo_bg.sources.detector import Detector

        return GrabCutModel(Detector(segmenter), iterations=2)

    def test_it_cuts_around_the_models_masks(self, source, pictures):
        start = source.detector(pictures)[0].select(0.3)
        pixels = pictures[0].pixels
        np.testing.assert_array_equal(source(pictures)[0].union.numpy(), source.cut(pixels, start))


class TestNormalisedCut(SourceContract):
    @pytest.fixture
    def source(self):
        return NormalisedCut(superpixels=60)


@pytest.mark.parametrize('name', CLASSICS)
def test_a_disc_is_found(name, disc):
    pixels, mask = disc
    assert iou(mask_of(load_source(name)(), pixels), mask) > 0.93


@pytest.mark.parametrize('name', CLASSICS)
def test_an_image_of_one_colour_or_of_one_pixel(name):
    source = load_source(name)()
    for size in ((1, 1), (1, 9), (40, 50)):
        found = source([image_of(np.full((*size, 3), 90, np.uint8))])[0]
        assert found.size == size


@pytest.mark.parametrize('name', CLASSICS)
def test_the_description_holds_every_option(name):
    kind = load_source(name)
    settings = SourceSettings(options={next(iter(kind.option_defaults)): ''} if name == 'region-growing' else {})
    assert kind.build(settings).describe() == dict(kind.option_defaults)


# ---- each against its library


def test_kmeans_gives_opencvs_clusters(disc):
    pixels, _ = disc
    points = features(pixels, 50.0)
    lab = cv2.cvtColor((pixels / 255).astype(np.float32), cv2.COLOR_BGR2Lab)
    np.testing.assert_array_equal(points[:, :3], lab.reshape(-1, 3))
    np.testing.assert_allclose(points[120 * 33 + 17, 3:], (17 * 50 / 120, 33 * 50 / 120), rtol=1e-6)
    cv2.setRNGSeed(7)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    _, labels, _ = cv2.kmeans(points, 4, None, stop, 2, cv2.KMEANS_PP_CENTERS)
    expected = off_border(labels.reshape(80, 120), 0.4)
    np.testing.assert_array_equal(mask_of(KMeans(k=4, touch=0.4, seed=7), pixels), expected)


def test_otsus_threshold_is_opencvs(disc):
    pixels, mask = disc
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
    np.testing.assert_array_equal(mask_of(Otsu(foreground='bright'), pixels), bright > 0)
    np.testing.assert_array_equal(mask_of(Otsu(foreground='dark'), pixels), bright == 0)
    dark_is_disc = iou(bright == 0, mask) > 0.5
    np.testing.assert_array_equal(mask_of(Otsu(), pixels), (bright == 0) if dark_is_disc else bright > 0)


@pytest.mark.parametrize('tolerance', [0, 12, 40])
def test_growing_from_points_is_scikit_images_flood(rng, tolerance):
    pixels = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (40, 30), interpolation=cv2.INTER_CUBIC)
    lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2Lab).astype(int)
    expected = np.zeros((30, 40), bool)
    for x, y in ((5, 6), (30, 20)):  # OpenCV lets later seeds grow from what is left
        if not expected[y, x]:
            near = (np.abs(lab - lab[y, x]) <= tolerance).all(2) & ~expected
            parts, _ = ndimage.label(near)
            expected |= parts == parts[y, x]
    np.testing.assert_array_equal(grow(pixels, [(5, 6), (30, 20)], tolerance, True), expected)
    source = RegionGrowing(seeds='5,6+30,20', tolerance=tolerance)
    np.testing.assert_array_equal(mask_of(source, pixels), expected)


def test_growing_against_neighbours_follows_a_gradient():
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 20, 0).repeat(3, 2)
    ramp[5:15, 40:60] = 255
    assert not mask_of(RegionGrowing(tolerance=4, compare='neighbour'), ramp)[:, :39].any()
    assert mask_of(RegionGrowing(tolerance=4, compare='neighbour'), ramp)[5:15, 40:60].all()


def test_the_border_has_every_border_pixel_once():
    for height, width in ((1, 1), (1, 5), (4, 1), (4, 5)):
        frame = np.ones((height, width), int)
        frame[1:-1, 1:-1] = 0
        counted = np.zeros_like(frame)
        for x, y in border_points(height, width):
            counted[y, x] += 1
        np.testing.assert_array_equal(counted, frame)


def test_grabcut_from_a_box_is_opencvs(disc):
    pixels, _ = disc
    box = (0.2, 0.1, 0.9, 0.95)
    state = np.zeros((80, 120), np.uint8)
    cv2.setRNGSeed(3)
    cv2.grabCut(pixels, state, (24, 8, 84, 68), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_RECT)
    expected = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    np.testing.assert_array_equal(inside(box, (80, 120)), cv2.rectangle(state * 0, (24, 8), (107, 75), 1, -1) > 0)
    np.testing.assert_array_equal(mask_of(GrabCut(box=box, iterations=4, seed=3), pixels), expected)


def test_grabcut_corrects_a_rough_start(disc):
    pixels, mask = disc
    rough = np.roll(mask, (6, 5), (0, 1))
    start = Instances(torch.from_numpy(rough)[None], torch.zeros(1).long(), torch.ones(1))
    assert iou(rough, mask) < 0.75 < 0.97 < iou(GrabCut(margin=0.1).cut(pixels, start), mask)


def test_grabcut_with_nothing_to_tell_apart(disc):
    pixels, _ = disc
    nothing, everything = np.zeros((80, 120), bool), np.ones((80, 120), bool)
    assert not grabcut(pixels, nothing, nothing, 2).any()
    assert grabcut(pixels, everything, everything, 2).all()
    assert not GrabCut().cut(pixels, Instances.empty((80, 120))).any()


def test_ncut_gives_scikit_images_regions(disc):
    from skimage import graph, segmentation

    pixels, _ = disc
    rgb = np.ascontiguousarray(pixels[..., ::-1])
    labels = segmentation.slic(rgb, n_segments=50, compactness=10.0, start_label=0)
    regions = graph.cut_normalized(labels, graph.rag_mean_color(rgb, labels, mode='similarity'), thresh=0.02, rng=5)
    expected = off_border(regions, 0.5)
    source = NormalisedCut(superpixels=50, compactness=10.0, threshold=0.02)
    np.testing.assert_array_equal(mask_of(source, pixels), expected)
    assert expected.any()


# ---- what they share


def test_how_much_regions_touch_the_border():
    labels = np.zeros((10, 10), int)
    labels[3:7, 3:7] = 1  # no border pixel
    labels[0:5, 8:10] = 2  # 10 pixels, 6 of the 36 on the border: touch 1.67
    labels[8:10, 2:8] = 4  # 12 pixels, 6 of the 36 on the border: touch 1.39; 3 does not occur
    np.testing.assert_array_equal(off_border(labels, 0.1), labels == 1)
    np.testing.assert_array_equal(off_border(labels, 1.5), labels != 2)
    assert not off_border(labels * 0, 0.9).any()


def test_masks_of_small_copies_are_as_large_as_the_image(rng):
    pixels = rng.integers(0, 256, (300, 700, 3), dtype=np.uint8)
    small = shrink(pixels, 70)
    assert small.shape == (30, 70, 3) and shrink(pixels, 700) is pixels
    assert shrink(pixels[:1], 70).shape == (1, 70, 3)
    mask = np.zeros((30, 70), bool)
    mask[10:20, 30:50] = True
    expected = np.zeros((300, 700), bool)
    expected[100:200, 300:500] = True
    assert iou(enlarge(mask, (300, 700, 3)), expected) > 0.97


# ---- mistakes


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('kmeans', {'k': '1'}, 'k expected at least 2, got 1'),
        ('kmeans', {'clusters': '3'}, "there is no 'clusters' here; expected one of: k, position"),
        ('otsu', {'foreground': 'left'}, 'foreground expected one of auto, bright, dark'),
        ('region-growing', {'seeds': '3;4'}, 'seeds expected points such as 120,80'),
        ('region-growing', {'compare': 'mean'}, 'compare expected one of seed, neighbour'),
        ('grabcut', {'box': '0,0,2,1'}, 'box expected X0,Y0,X1,Y1 from 0 to 1, got 0.0,0.0,2.0,1.0'),
        ('grabcut', {'box': '0,0,1'}, 'box expected X0,Y0,X1,Y1'),
        ('ncut', {'superpixels': 'many'}, 'superpixels expected int'),
    ],
)
def test_options_that_cannot_be(name, options, message):
    with pytest.raises(SetupError, match=message):
        load_source(name).build(SourceSettings(options=options))


def test_points_are_read():
    assert read_points('') == [] and read_points('120,80') == [(120, 80)]
    assert read_points('1,2+30,40') == [(1, 2), (30, 40)]


def test_a_seed_outside_concerns_its_image_only(tmp_path, capsys):
    with pytest.raises(ImageError, match='the seed 50,3 lies outside the image of 20x10 pixels'):
        RegionGrowing(seeds='5,3+50,3')([image_of(np.zeros((10, 20, 3), np.uint8))])
    for name, width in (('narrow', 20), ('wide', 90)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.zeros((10, width, 3), np.uint8))
    argv = [str(tmp_path), '--source', 'region-growing', '--source-options', 'seeds=50,3', '-o', str(tmp_path / 'out')]
    assert cli.main([*argv, '--quiet']) == 1
    assert 'narrow.png' in capsys.readouterr().err and (tmp_path / 'out/eliminated/wide.png').exists()


def test_without_scikit_image(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'skimage.graph', None)
    with pytest.raises(SetupError, match=r'--source ncut needs scikit-image .*pip install "solo_bg\[classic\]"'):
        NormalisedCut()


def test_the_command_starts_grabcut_from_a_model(tmp_path, disc):
    cv2.imwrite(str(tmp_path / 'disc.png'), disc[0])
    argv = [str(CONFIG), str(CHECKPOINT), str(tmp_path / 'disc.png'), '--source', 'grabcut-model', '--quiet']
    out = ['-o', str(tmp_path / 'out'), '--device', 'cpu', '--source-options', 'iterations=1', 'score=0.2']
    assert cli.main([*argv, *out, '--on-empty', 'black']) == 0
    assert 'grabcut-model' in SOURCES and '"score": 0.2' in (tmp_path / 'out/run.json').read_text()


def test_cuts_are_as_cheap_as_they_can_be(rng):
    """Against all ways to divide ten nodes: two groups, alike within and less so between."""
    group = np.arange(10) % 2
    similar = np.where(group[:, None] == group, 0.8, 0.05) + rng.uniform(0, 0.05, (10, 10))
    similar = (similar + similar.T) / 2
    degree = similar.sum(0)
    every = ((np.arange(1, 2**9)[:, None] >> np.arange(10)) & 1).astype(bool)
    between = ((every @ similar) * ~every).sum(1)
    costs = between / (every @ degree) + between / (~every @ degree)
    side, cost = best_cut(similar)
    assert cost == pytest.approx(costs.min()) and abs((side == group).mean() - 0.5) == 0.5
    np.testing.assert_array_equal(regions(similar, cost + 1e-6) == regions(similar, cost + 1e-6)[0], group == group[0])
    assert not regions(similar, cost - 1e-6).any()


def test_graphs_that_cannot_be_cut_stay_whole():
    assert not regions(np.ones((2, 2)), 2).any() and not regions(np.ones((1, 1)), 2).any()
    apart = np.eye(6)  # nothing is similar to anything else: cuts cost nothing
    assert len(set(regions(apart, 0.1))) > 1
    almost = np.eye(60) + 1e-300 * (np.eye(60, k=1) + np.eye(60, k=-1))
    assert np.isfinite(best_cut(almost)[1])
