"""Refiners: alpha and foreground colours at the edges, against brute force, pymatting and scenes with known alpha."""

import json

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from soft_scenes import EDGES, draw_soft_scene

from solo_bg import Instances, SetupError, eliminate_folder
from solo_bg.cli import main as cli
from solo_bg.draw import trimap as trimaps
from solo_bg.draw.box_sums import box_sum, enlarge, sample
from solo_bg.draw.colours import foreground_colours
from solo_bg.draw.compose import fade
from solo_bg.draw.guided import guided_filter
from solo_bg.draw.refine import REFINERS, load_refiner
from solo_bg.draw.trimap import Trimap, distance_inside, make_trimap, surroundings, tiles, window_max

pytest.importorskip('pymatting')


def one_instance(mask):
    masks = torch.as_tensor(mask)[None]
    return Instances(masks, torch.zeros(1).long(), torch.ones(1), ('thing',))


def refine(name, image, mask, **options):
    """alpha and colours as arrays."""
    instances, colours = load_refiner(name, options)(torch.from_numpy(image), one_instance(mask))
    assert torch.equal(instances.union, instances.alpha > 127)
    return instances.alpha.numpy(), colours.numpy()


# ---- how good they are


def gradient(alpha):
    return np.hypot(*(ndimage.gaussian_filter(alpha, 1.4, order=order) for order in ((0, 1), (1, 0))))


def errors(alpha, colours, scene):
    """SAD, gradient error (Rhemann et al., 2009) and the mean error of the colours where the edge is soft."""
    soft = (scene.alpha > 0.02) & (scene.alpha < 0.98)
    return np.array(
        [
            np.abs(alpha - scene.alpha).sum(),
            ((gradient(alpha) - gradient(scene.alpha)) ** 2).sum(),
            np.abs(colours[soft] - scene.colours[soft]).mean(),
        ]
    )


@pytest.mark.parametrize('name', REFINERS)
@pytest.mark.parametrize('edge', EDGES)
@pytest.mark.parametrize('seed', [0, 5])
def test_errors_fall_by_a_third_and_the_fringe_by_half(name, edge, seed):
    scene = draw_soft_scene(seed, edge)
    hard = scene.alpha > 0.5
    alpha, colours = refine(name, scene.image, hard)
    share = errors(alpha / 255, colours, scene) / errors(hard.astype(float), scene.image, scene)
    assert (share < (2 / 3, 2 / 3, 1 / 2)).all(), share


@pytest.mark.parametrize('name', REFINERS)
def test_a_mask_that_is_a_little_wrong_is_corrected(name):
    scene = draw_soft_scene(2, 'hairy')
    rough = ndimage.binary_opening(np.pad(scene.alpha, ((1, 0), (1, 0)), 'edge')[:-1, :-1] > 0.5, np.ones((3, 3)))
    alpha, colours = refine(name, scene.image, rough)
    share = errors(alpha / 255, colours, scene) / errors(rough.astype(float), scene.image, scene)
    assert (share < (0.8, 0.8, 0.5)).all(), share


@pytest.mark.parametrize('name', REFINERS)
def test_where_colours_do_not_differ_the_mask_stays(name, rng):
    image = rng.integers(0, 256, (90, 90, 3), dtype=np.uint8)
    mask = np.hypot(*(np.mgrid[:90, :90] - 45)) < 25
    alpha, _ = refine(name, image, mask)
    assert np.abs(alpha / 255 - mask).sum() < 0.1 * (make_trimap(one_instance(mask).opacity(), 12).unknown.sum())


# ---- the whole


@pytest.mark.parametrize('name', REFINERS)
def test_nothing_changes_outside_the_band(name):
    scene = draw_soft_scene(1, 'thin')
    mask = scene.alpha > 0.5
    alpha, colours = refine(name, scene.image, mask, band=5)
    inside = ndimage.binary_erosion(mask, np.ones((11, 11)), border_value=1)
    outside = ~ndimage.binary_dilation(mask, np.ones((11, 11)))
    assert (alpha[inside] == 255).all() and not alpha[outside].any()
    np.testing.assert_array_equal(colours[inside | outside], scene.image[inside | outside])


@pytest.mark.parametrize('name', REFINERS)
@pytest.mark.parametrize('size', [(1, 1), (1, 40), (30, 2), (40, 50)])
def test_masks_of_all_and_of_nothing(name, size, rng):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for value in (False, True):
        alpha, colours = refine(name, image, np.full(size, value))
        assert (alpha == 255 * value).all()
        np.testing.assert_array_equal(colours, image)


@pytest.mark.parametrize('name', REFINERS)
def test_each_instance_keeps_its_own_part(name):
    scene = draw_soft_scene(3, 'soft')
    mask = scene.alpha > 0.5
    masks = np.stack([mask & (np.arange(320) < 200), mask & (np.arange(320) >= 200)])
    two = Instances(torch.from_numpy(masks), torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), ('left', 'right'))
    refined, _ = load_refiner(name, {})(torch.from_numpy(scene.image), two)
    assert refined.names == two.names and torch.equal(refined.scores, two.scores)
    together, _ = refine(name, scene.image, mask)
    np.testing.assert_array_equal(refined.alpha, together)


def test_soft_pixels_of_the_source_are_refined_too():
    scene = draw_soft_scene(4, 'soft')
    given = torch.from_numpy(np.rint(ndimage.gaussian_filter(scene.alpha, 9) * 255).astype(np.uint8))
    instances = one_instance(scene.alpha > 0.5).with_alpha(given)
    refined, _ = load_refiner('guided', {'band': 2})(torch.from_numpy(scene.image), instances)
    before, after = (np.abs(alpha.numpy() / 255 - scene.alpha).sum() for alpha in (given, refined.alpha))
    assert after < before / 2


@pytest.mark.parametrize(('name', 'differ'), [('guided', 3), ('matting', 12)])
def test_tiles_leave_no_seams(name, differ, monkeypatch):
    """Colours are compared as they show: where alpha is 0, they depend on the last bit of it."""
    scene = draw_soft_scene(6, 'hairy')
    monkeypatch.setattr(trimaps, 'TILE', 1024)
    whole, colours = refine(name, scene.image, scene.alpha > 0.5)
    monkeypatch.setattr(trimaps, 'TILE', 64)
    tiled, tiled_colours = refine(name, scene.image, scene.alpha > 0.5)
    assert np.abs(tiled.astype(int) - whole).max() <= differ
    shown = [one[..., None] / 255 * of for one, of in ((tiled, tiled_colours), (whole, colours))]
    assert np.abs(shown[0] - shown[1]).max() <= differ


# ---- parts


def test_tiles_cover_every_wanted_pixel_once_and_are_bounded(rng):
    wanted = torch.from_numpy(rng.random((700, 530)) < 0.001)
    wanted[256:512, :256] = False
    counted, found = torch.zeros(700, 530, dtype=torch.int32), list(tiles(wanted, 20))
    for tile in found:
        assert max(tile.wanted.shape) <= trimaps.TILE + 40 + trimaps.GRID and tile.wanted.any()
        assert not any(part.start % trimaps.GRID for part in tile.outer)
        counted[tile.outer] += tile.wanted
    assert torch.equal(counted, wanted.int()) and len(found) == 8


def test_tiles_are_as_small_as_their_wanted_pixels():
    wanted = torch.zeros(600, 600, dtype=torch.bool)
    wanted[300:310, 400:420] = True
    (tile,) = tiles(wanted, 20)
    assert tile.outer == (slice(272, 330), slice(368, 440)) and tile.wanted.sum() == 200


def test_only_the_surroundings_of_a_mask_are_looked_at(rng):
    opacity = torch.zeros(900, 700, dtype=torch.uint8)
    assert surroundings(opacity, 30) == (slice(0, 1), slice(0, 1))
    opacity[500:520, 100:101] = 200
    opacity[3, 3] = trimaps.ALMOST  # background
    assert surroundings(opacity, 30) == (slice(464, 550), slice(64, 131))
    image = rng.integers(0, 256, (900, 700, 3), dtype=np.uint8)
    mask = np.zeros((900, 700), bool)
    mask[480:530, 80:160] = True
    alpha, colours = refine('guided', image, mask)
    part = np.s_[320:690, :320]  # begins at a multiple of GRID, so that blocks are the same
    for found, alone in zip((alpha, colours), refine('guided', image[part], mask[part]), strict=True):
        np.testing.assert_array_equal(found[part], alone)
    assert not np.delete(alpha.ravel(), np.arange(alpha.size).reshape(alpha.shape)[part].ravel()).any()


@pytest.mark.parametrize('most', [3, 25])
def test_the_distance_to_the_background(rng, most):
    mask = ndimage.binary_opening(rng.random((50, 70)) < 0.8, iterations=2)
    mask[:, 40:] = True
    expected = ndimage.distance_transform_cdt(np.pad(mask, 99, constant_values=True), 'chessboard')[99:-99, 99:-99]
    np.testing.assert_array_equal(distance_inside(torch.from_numpy(mask), most), expected.clip(max=most))


@pytest.mark.parametrize('radius', [1, 2, 3, 7, 30])
def test_the_largest_of_a_window(rng, radius):
    values = rng.integers(0, 256, (20, 31), dtype=np.uint8)
    expected = ndimage.maximum_filter(values, 2 * radius + 1, mode='constant')
    np.testing.assert_array_equal(window_max(torch.from_numpy(values), radius), expected)
    flags = torch.from_numpy(values > 250)
    assert window_max(flags, radius).dtype == torch.bool
    np.testing.assert_array_equal(window_max(flags, radius), expected > 250)


def test_the_band_is_as_wide_as_asked_for_and_thinner_in_thin_parts():
    opacity = torch.zeros(60, 60, dtype=torch.uint8)
    opacity[:, :30] = 255
    opacity[20:27, 30:] = 255  # a bar, 7 pixels thick
    found = make_trimap(opacity, 5)
    row = found.foreground[50].int() - found.background[50].int()
    assert row.tolist() == [1] * 25 + [0] * 10 + [-1] * 25
    column = found.foreground[:, 50].int() - found.background[:, 50].int()
    assert column.tolist() == [-1] * 15 + [0] * 7 + [1] * 3 + [0] * 7 + [-1] * 28
    opacity[50, 10] = 130
    assert make_trimap(opacity, 5).unknown[50, 10]


def fit_by_hand(colours, targets, weight, eps):
    """The linear function of colours, (3, N), that fits targets, (N,), by weighted least squares; what it explains."""
    share = weight / weight.sum()
    centred, aims = colours - (colours @ share)[:, None], targets - targets @ share
    slope = np.linalg.solve((centred * share) @ centred.T + eps * np.eye(3), (centred * share) @ aims)
    explained = slope @ ((centred * share) @ aims) / max((aims**2) @ share, 1e-5)
    return [*slope, targets @ share - slope @ colours @ share, np.clip(explained, 0, 1)]


def brute_force(guide, values, weight, radius, eps):
    """The guided filter, a window and a pixel at a time, by least squares."""
    _, height, width = guide.shape
    windows = [
        (slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1))
        for y in range(height)
        for x in range(width)
    ]
    functions = np.zeros((height * width, 5))
    for index, window in enumerate(windows):
        colours = guide[:, window[0], window[1]].reshape(3, -1)
        functions[index] = fit_by_hand(colours, values[window].ravel(), weight[window].ravel(), eps)
    means = [functions.reshape(height, width, 5)[window].reshape(-1, 5).mean(0) for window in windows]
    means = np.array(means).reshape(height, width, 5)
    return (means[..., :3] * guide.transpose(1, 2, 0)).sum(2) + means[..., 3], means[..., 4]


@pytest.mark.parametrize('radius', [1, 3])
@pytest.mark.parametrize('weighted', [False, True])
def test_the_guided_filter_is_that_of_brute_force(rng, radius, weighted):
    guide, values = rng.random((3, 13, 17)), rng.random((13, 17))
    weight = rng.uniform(0.05, 1, (13, 17)) if weighted else np.ones((13, 17))
    given = [torch.from_numpy(one).float() for one in (guide, values, weight)]
    found = guided_filter(*given[:2], radius, 1e-3, given[2] if weighted else None)
    for one, expected in zip(found, brute_force(guide, values, weight, radius, 1e-3), strict=True):
        np.testing.assert_allclose(one.numpy(), expected, atol=2e-4)


@pytest.mark.parametrize(('radius', 'side'), [(6, 2), (13, 4)])
def test_wide_windows_consist_of_blocks(rng, radius, side):
    """All pixels of a block count, functions are those of brute force on blocks, and are interpolated."""
    size = 8 * side + 1, 9 * side + side // 2  # the last blocks are cut
    guide, values, weight = rng.random((3, *size)), rng.random(size), rng.uniform(0.05, 1, size)
    rows, columns = (np.arange(length) // side for length in size)
    low, reach = (rows[-1] + 1, columns[-1] + 1), radius // side
    functions, means = np.zeros((2, *low, 5))
    for y, x in np.ndindex(low):
        inside = (abs(rows - y) <= reach)[:, None] & (abs(columns - x) <= reach)
        functions[y, x] = fit_by_hand(guide[:, inside], values[inside], weight[inside], 1e-3)
    for y, x in np.ndindex(low):
        near = functions[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        means[y, x] = near.mean((0, 1))
    large = cv2.resize(means, (low[1] * side, low[0] * side), interpolation=cv2.INTER_LINEAR)[: size[0], : size[1]]
    given = [torch.from_numpy(one).float() for one in (guide, values, weight)]
    found = guided_filter(*given[:2], radius, 1e-3, given[2])
    np.testing.assert_allclose(found[0], (large[..., :3] * guide.transpose(1, 2, 0)).sum(2) + large[..., 3], atol=2e-4)
    np.testing.assert_allclose(found[1], large[..., 4], atol=2e-4)


@pytest.mark.parametrize('side', [1, 2, 4])
def test_samples_are_those_of_the_enlarged_values(rng, side):
    values = torch.from_numpy(rng.random((2, 5, 7))).float()
    size = 5 * side - side // 2, 7 * side
    rows, columns = (torch.from_numpy(rng.integers(0, length, 200)) for length in size)
    expected = enlarge(values, side, *size)[:, rows, columns]
    torch.testing.assert_close(sample(values, side, rows, columns), expected)


@pytest.mark.parametrize('edge', EDGES)
def test_blocks_hardly_change_alpha(edge, monkeypatch):
    """Against windows of pixels, the mean difference in the band is below 1% of opaque."""
    scene = draw_soft_scene(5, edge)
    mask = scene.alpha > 0.5
    blocks, _ = refine('guided', scene.image, mask)
    monkeypatch.setattr('solo_bg.draw.box_sums.LARGEST_BLOCK', 1)
    pixels, _ = refine('guided', scene.image, mask)
    unknown = make_trimap(one_instance(mask).opacity(), 12).unknown.numpy()
    assert 0 < np.abs(blocks.astype(int) - pixels)[unknown].mean() < 2.55


def test_a_large_guided_filter_does_not_round_away(rng):
    guide = torch.from_numpy(rng.random((3, 60, 4000))).float()
    values = (guide[0] > 0.5).float()
    single = guided_filter(guide, values, 16, 1e-4)[0]
    double = guided_filter(guide.double(), values.double(), 16, 1e-4)[0]
    assert (single - double).abs().max() < 1e-3


def test_sums_of_windows(rng):
    values = rng.random((2, 9, 14))
    expected = np.stack([ndimage.uniform_filter(one, 5, mode='constant') * 25 for one in values])
    np.testing.assert_allclose(box_sum(torch.from_numpy(values), 2), expected, atol=1e-9)


def small_problem():
    scene = draw_soft_scene(7, 'soft')
    window = np.s_[:40, :48]
    y, x = np.argwhere((scene.alpha > 0.45) & (scene.alpha < 0.55))[0].clip(20, 200)
    image, alpha = (one[y - 20 :, x - 24 :][window] for one in (scene.image, scene.alpha))
    opacity = torch.from_numpy((alpha > 0.5).astype(np.uint8) * 255)
    return torch.from_numpy(image.copy()), opacity, make_trimap(opacity, 4)


def test_matting_solves_its_equations(monkeypatch):
    from pymatting.laplacian.cf_laplacian import cf_laplacian

    from solo_bg.draw import guided, matting

    image, opacity, trimap = small_problem()
    found = matting.estimate_alpha(image, opacity, trimap, 8, 1e-5).numpy().ravel()
    prior, trust = (one.double().numpy().ravel() for one in guided.estimate_alpha(image, opacity, trimap, 8, 1e-4))
    unknown = trimap.unknown.numpy().ravel()
    laplacian = cf_laplacian(image.numpy() / 255.0, 1e-5).toarray()  # of all pixels
    weight, expected = np.zeros((len(unknown), len(unknown))), np.zeros(len(unknown))
    weight[unknown, unknown], expected[unknown] = 0.05 * trust + 2.0 * (1 - trust), prior
    known = np.where(unknown, 0, trimap.foreground.numpy().ravel())
    right = (weight @ expected - laplacian @ known)[unknown]
    expected = np.linalg.solve((laplacian + weight)[np.ix_(unknown, unknown)], right)
    np.testing.assert_allclose(found[unknown], expected, atol=5e-3)


def test_without_its_prior_matting_is_pymattings(monkeypatch):
    from pymatting.alpha.estimate_alpha_cf import estimate_alpha_cf

    from solo_bg.draw import matting

    image, opacity, trimap = small_problem()
    monkeypatch.setattr(matting, 'PRIOR', 1e-9)
    monkeypatch.setattr(matting, 'DISTRUST', 1e-9)
    found = matting.estimate_alpha(image, opacity, trimap, 8, 1e-5).clamp(0, 1).numpy()
    given = torch.where(trimap.unknown, 0.5, trimap.foreground.double()).numpy()
    expected = estimate_alpha_cf(image.numpy() / 255.0, given, laplacian_kwargs={'epsilon': 1e-5})
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_colours_of_two_plain_surfaces_are_found():
    alpha = np.rint(255 * ndimage.gaussian_filter((np.arange(80) < 40) * 1.0, 4)).astype(np.uint8)[None].repeat(30, 0)
    front, back = np.array([30.0, 60.0, 220.0]), np.array([200.0, 180.0, 10.0])
    share = alpha[..., None] / 255
    image = np.rint(share * front + (1 - share) * back).astype(np.uint8)
    wanted = torch.ones(alpha.shape, dtype=torch.bool)
    found = foreground_colours(torch.from_numpy(image), torch.from_numpy(alpha), wanted).view(image.shape).numpy()
    soft = (alpha > 25) & (alpha < 230)
    before, after = (np.abs(one[soft].astype(float) - front).mean() for one in (image, found))
    assert after < before / 10


def test_fading_rounds_to_the_nearest(rng):
    image, background = (rng.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(2))
    alpha = rng.integers(0, 256, (5, 7), dtype=np.uint8)
    alpha[0, :2] = 0, 255
    share = alpha[..., None] / 255
    for ground in (background, background[0, 0]):
        found = fade(*(torch.from_numpy(one) for one in (image, alpha, ground))).numpy()
        np.testing.assert_allclose(found, image * share + ground * (1 - share), atol=0.5001)
    assert (found[0, 1] == image[0, 1]).all() and (found[0, 0] == background[0, 0]).all()


# ---- the command


@pytest.fixture
def photo(tmp_path):
    scene = draw_soft_scene(8, 'soft')
    cv2.imwrite(str(tmp_path / 'photo.png'), scene.image)
    return tmp_path / 'photo.png'


def run(photo, out, *argv):
    source = ['--source', 'grabcut', '--source-options', 'side=320']
    return cli.main([str(photo), *source, '-o', str(out), '--quiet', *argv])


def pictures(out, *styles):
    return [cv2.imread(str(out / style / 'photo.png'), cv2.IMREAD_UNCHANGED) for style in styles]


@pytest.mark.parametrize('name', REFINERS)
def test_cutouts_are_soft_and_eliminated_is_hard(photo, tmp_path, name):
    styles = 'cutout', 'mask', 'eliminated'
    assert run(photo, tmp_path / 'out', '--styles', ','.join(styles), '--refine', name) == 0
    cutout, mask, eliminated = pictures(tmp_path / 'out', *styles)
    image, alpha = cv2.imread(str(photo)), cutout[..., 3]
    assert ((alpha > 20) & (alpha < 235)).sum() > 100
    np.testing.assert_array_equal(mask, (alpha > 127) * np.uint8(255))
    np.testing.assert_array_equal(eliminated, image * (mask > 0)[..., None])
    assert (cutout[..., :3] != image).any(2).sum() > 100


def test_soft_fades_into_the_fill(photo, tmp_path):
    argv = '--styles', 'cutout,eliminated', '--refine', 'guided', '--soft'
    assert run(photo, tmp_path / 'out', *argv, '--fill', '10,200,30') == 0
    cutout, eliminated = pictures(tmp_path / 'out', 'cutout', 'eliminated')
    share = cutout[..., 3:] / 255
    np.testing.assert_allclose(eliminated, cutout[..., :3] * share + (1 - share) * (30, 200, 10), atol=0.5001)
    assert run(photo, tmp_path / 'zero', *argv) == 0
    cutout, eliminated = pictures(tmp_path / 'zero', 'cutout', 'eliminated')
    np.testing.assert_allclose(eliminated, cutout[..., :3] * (cutout[..., 3:] / 255), atol=0.5001)


def test_annotations_are_those_of_the_refined_masks(photo, tmp_path):
    from pycocotools import mask as coco_mask

    assert run(photo, tmp_path / 'out', '--refine', 'guided', '--styles', 'mask,eliminated') == 0
    (entry,) = json.loads((tmp_path / 'out/annotations.json').read_text())['annotations']
    rle = entry['segmentation']
    if isinstance(rle['counts'], list):
        rle = coco_mask.frPyObjects(rle, *rle['size'])
    np.testing.assert_array_equal(coco_mask.decode(rle) > 0, pictures(tmp_path / 'out', 'mask')[0] > 0)


def test_another_refinement_makes_the_pictures_again(photo, tmp_path):
    out = tmp_path / 'out'

    def key(*argv):
        assert run(photo, out, '--styles', 'cutout', '--resume', *argv) == 0
        return json.loads((out / 'run.json').read_text())['key']

    written = out / 'cutout/photo.png'
    keys = [key()]
    hard = written.read_bytes()
    keys += [key('--refine', 'guided'), key('--refine', 'guided', '--refine-options', 'band=3')]
    assert len(set(keys)) == 3 and written.read_bytes() != hard
    stamp = written.stat().st_mtime_ns
    assert key('--refine', 'guided', '--refine-options', 'band=3', 'radius=16') == keys[2]
    assert written.stat().st_mtime_ns == stamp
    depends = json.loads((out / 'run.json').read_text())['depends']
    assert depends['refine'] == {'name': 'guided', 'band': 3, 'radius': 16, 'eps': 1e-4}


def test_from_python(photo, tmp_path):
    options = {'source': 'otsu', 'refine': 'guided', 'refine_options': {'band': 4}, 'styles': ['cutout']}
    (record,) = eliminate_folder(photo, out=tmp_path / 'out', **options)
    assert record.status == 'ok'
    with pytest.raises(SetupError, match='band expected int, got None'):
        eliminate_folder(photo, out=tmp_path / 'out', **options | {'refine_options': {'band': None}})


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['--refine', 'magic'], "invalid choice: 'magic'"),
        (['--refine', 'guided', '--refine-options', 'width=3'], "there is no 'width' here; expected one of: band"),
        (['--refine', 'guided', '--refine-options', 'band=wide'], 'band expected int'),
        (['--refine', 'matting', '--refine-options', 'band=0'], 'expected values above 0, got band=0'),
        (['--refine-options', 'band=3'], '--refine-options needs --refine'),
    ],
)
def test_mistakes(photo, tmp_path, capsys, argv, message):
    with pytest.raises(SystemExit) as stop:
        run(photo, tmp_path / 'out', *argv)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_without_pymatting(photo, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.delitem(sys.modules, 'solo_bg.draw.matting', raising=False)
    monkeypatch.setitem(sys.modules, 'pymatting.laplacian.cf_laplacian', None)
    assert run(photo, tmp_path / 'out', '--refine', 'matting') == 2
    assert 'pip install "solo_bg[matting]"' in capsys.readouterr().err


def test_a_trimap_says_what_is_unknown():
    yes, no = torch.tensor([[True, False]]), torch.tensor([[False, False]])
    assert Trimap(yes, no).unknown.tolist() == [[False, True]]
