"""Foreground networks: what goes in, what comes out, and files that cannot be used."""

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_onnx
import torch
from PIL import Image
from test_sources import SourceContract

from solo_bg import ImageError, InputImage, SetupError, eliminate_folder
from solo_bg.cli import main as cli
from solo_bg.models import find, foreground_weights
from solo_bg.models.foreground_pixels import input_size, resize, to_alpha, to_input
from solo_bg.models.foreground_zoo import FOREGROUND_MODELS, ForegroundModel, Recipe
from solo_bg.sources import choose_source
from solo_bg.sources.base import SourceSettings
from solo_bg.sources.foreground import Foreground

onnxruntime = pytest.importorskip('onnxruntime')
needs_openvino = pytest.mark.skipif(find_spec('openvino') is None, reason='needs OpenVINO')


def build(config, checkpoint='auto', **settings):
    return Foreground.build(SourceSettings(config=str(config), checkpoint=str(checkpoint), device='cpu', **settings))


def image_of(pixels):
    return InputImage('a', 'a.png', pixels)


@pytest.fixture
def plain(tmp_path):
    return tiny_onnx.save_plain(tmp_path / 'plain.onnx')


@pytest.fixture
def recurrent(tmp_path):
    return tiny_onnx.save_recurrent(tmp_path / 'recurrent.onnx')


@pytest.fixture
def pixels(rng):
    return cv2.resize(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), (90, 60), interpolation=cv2.INTER_CUBIC)


class TestPlain(SourceContract):
    @pytest.fixture
    def source(self, plain):
        return build(plain, cfg_options=['spread=true', 'peak=true'])


class TestRecurrent(SourceContract):
    @pytest.fixture
    def source(self, recurrent):
        return build('rvm', recurrent)


class TestSeveralClasses(SourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        path = tiny_onnx.save_plain(tmp_path / 'cloth.onnx', (768, 768), channels=4)
        return build('u2net_cloth_seg', path)

    def test_each_pixel_has_one_class_at_most_and_the_network_chose_it(self, source, pixels):
        found = source([image_of(pixels)])[0]
        assert found.alpha is None and len(found) > 1 and found.masks.sum(0).max() == 1
        assert {label.item() for label in found.labels} <= {0, 1, 2}
        given = to_input(pixels, source.recipe)
        session = onnxruntime.InferenceSession(str(source.network.path))
        best = session.run(None, {'image': given})[0][0].argmax(0).astype(np.uint8)
        near = cv2.resize(best, (90, 60), interpolation=cv2.INTER_NEAREST_EXACT)
        labels = np.zeros((60, 90), np.uint8)
        for mask, label in zip(found.masks.numpy(), found.labels.tolist(), strict=True):
            labels[mask] = label + 1
        assert (labels == near).mean() > 0.97


# ---- input and output


def rembg_by_hand(path, pixels, size, mean, std):
    """What rembg's sessions compute, in float64 with Pillow and NumPy."""
    image = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    values = np.array(image.resize((size, size), Image.Resampling.LANCZOS)).astype(np.float64)
    values = (values / max(values.max(), 1e-6) - mean) / std
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    given = values.transpose(2, 0, 1)[None].astype(np.float32)
    output = session.run(None, {session.get_inputs()[0].name: given})[0][:, 0]
    output = np.squeeze((output - output.min()) / (output.max() - output.min()))
    alpha = Image.fromarray((output * 255).astype('uint8'))
    return np.array(alpha.resize(image.size, Image.Resampling.LANCZOS))


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_alpha_equals_rembgs_computation(tmp_path, pixels):
    path = tiny_onnx.save_plain(tmp_path / 'u2net.onnx', (320, 320))
    found = build('u2net', path)([image_of(pixels)])[0]
    expected = rembg_by_hand(path, pixels, 320, *IMAGENET)
    np.testing.assert_array_equal(found.alpha.numpy(), expected)
    np.testing.assert_array_equal(found.union.numpy(), expected > 127)
    assert 0 < found.union.sum() < found.union.numel()


def test_the_prepared_input_is_used(plain, pixels):
    source = build(plain)
    once = source([source.prepare(image_of(pixels))])[0]
    other = source.prepare(image_of(pixels)).with_prepared(np.zeros((1, 3, 32, 32), np.float32))
    assert torch.equal(once.alpha, source([image_of(pixels)])[0].alpha)
    assert not torch.equal(once.alpha, source([other])[0].alpha)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((1000, 2000), (512, 1024)),
        ((2000, 1000), (1024, 512)),
        ((100, 200), (512, 1024)),
        ((300, 700), (288, 672)),  # 512 lies between its sides
        ((20, 3000), (32, 2976)),
        ((1, 1), (512, 512)),
        ((1, 500), (512, 3840)),
    ],
)
def test_modnets_input_size(size, expected):
    assert input_size(size, FOREGROUND_MODELS['modnet'].recipe) == expected


@pytest.mark.parametrize(
    ('size', 'expected'), [((480, 640), (480, 640)), ((1, 1), (32, 32)), ((10000, 10000), (3840, 3840))]
)
def test_the_size_of_an_image_that_keeps_its_size(size, expected):
    assert input_size(size, FOREGROUND_MODELS['rvm'].recipe) == expected


def test_colours_are_rgb_scaled_and_normalised(pixels):
    recipe = Recipe('stretch', 16, 'area', mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    given = to_input(pixels, recipe)
    rgb = resize(pixels, (16, 16), 'area')[..., ::-1] / 255
    expected = ((rgb - [0.1, 0.2, 0.3]) / [1, 2, 4]).transpose(2, 0, 1)[None]
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_an_output_without_contrast_is_no_foreground():
    recipe = FOREGROUND_MODELS['u2net'].recipe
    assert not to_alpha(np.full((1, 1, 320, 320), 0.9, np.float32), recipe, (5, 7)).any()
    assert (to_alpha(np.ones((1, 1, 4, 4), np.float32), Recipe(), (5, 7)) == 255).all()


def test_the_logistic_function():
    output = np.array([-100.0, 0.0, 100.0, 1.0], np.float32).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(to_alpha(output, Recipe(sigmoid=True), (2, 2)), [[0, 128], [255, 186]])


# ---- recurrent states


def frames(count, size=(40, 50)):
    random = np.random.default_rng(1)
    return [image_of(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(count)]


def test_stills_do_not_remember(recurrent):
    source = build('rvm', recurrent)
    first, second = frames(2)
    alone = source([second])[0].alpha
    assert torch.equal(source([first, second])[1].alpha, alone)
    np.testing.assert_allclose(alone, second.pixels.mean(2) / 2, atol=0.51)


def test_a_clip_remembers_and_two_clips_do_not_mix(recurrent):
    source = build('rvm', recurrent)
    one, other, clip = source.start_clip(), source.start_clip(), frames(3)
    found = []
    for frame in clip:
        found.append(one(frame).alpha.double())
        other(image_of(np.zeros_like(frame.pixels)))
    expected = np.zeros((40, 50))
    for frame, alpha in zip(clip, found, strict=True):
        expected = (frame.pixels.mean(2) + expected) / 2
        np.testing.assert_allclose(alpha, expected, atol=0.51)


def test_a_frame_of_another_size_starts_anew(recurrent):
    source = build('rvm', recurrent)
    clip = source.start_clip()
    clip(frames(1)[0])
    frame = frames(1, (60, 40))[0]
    assert torch.equal(clip(frame).alpha, source([frame])[0].alpha)


def test_the_ratio_is_that_of_the_size_to_the_longer_side(recurrent):
    source = build('rvm', recurrent)
    _, states = source.find(image_of(np.zeros((600, 1024, 3), np.uint8)), None)
    assert [state.item() for state in states[1:]] == [0.5] * 3


class Matting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.5))

    def forward(
        self,
        src: torch.Tensor,
        r1: torch.Tensor | None = None,
        r2: torch.Tensor | None = None,
        r3: torch.Tensor | None = None,
        r4: torch.Tensor | None = None,
        downsample_ratio: float = 1.0,
    ):
        alpha = src.mean(1, keepdim=True) * self.share
        if r1 is not None:
            alpha = alpha + r1 * self.share
        return [src, alpha, alpha, alpha, alpha, alpha]


def test_torchscript_gives_the_same_if_it_is_trusted(tmp_path, recurrent):
    path = tmp_path / 'rvm.torchscript'
    torch.jit.script(Matting()).save(str(path))
    with pytest.raises(SetupError, match='runs code; add --trust-checkpoint'):
        build('rvm', path)
    clip, same = build('rvm', path, trust_checkpoint=True).start_clip(), build('rvm', recurrent).start_clip()
    for frame in frames(3):
        assert (clip(frame).alpha.int() - same(frame).alpha.int()).abs().max() <= 1
    with pytest.raises(SetupError, match='only RobustVideoMatting'):
        build('u2net', path, trust_checkpoint=True)
    path.write_bytes(b'PK')
    with pytest.raises(SetupError, match='cannot be loaded as TorchScript'):
        build('rvm', path, trust_checkpoint=True)


# ---- names, files and options


def test_names_and_onnx_files_select_this_source():
    for config in (*FOREGROUND_MODELS, 'some/where.onnx'):
        assert choose_source(None, config) == ('foreground', Foreground)
    for config in ('solo_r50_fpn_1x_coco', 'configs/solo_bg_tiny.py', ''):
        assert choose_source(None, config)[0] == 'model'


def test_every_row_is_whole():
    for name, model in FOREGROUND_MODELS.items():
        kind, _, value = model.checksum.partition(':')
        assert len(value) == {'md5': 32, 'sha256': 64}[kind] and int(value, 16), name
        assert model.url.startswith('https://') and model.url.endswith('.onnx')
        assert model.recipe.size and len(model.recipe.mean) == len(model.recipe.std) == 3


def test_the_description_holds_the_weights_and_every_field(plain):
    described = build(plain, cfg_options=['mean=0.5,0.5,0.5', 'sigmoid=1']).describe()
    assert described['weights'] == hashlib.sha256(plain.read_bytes()).hexdigest()
    assert set(described['recipe']) == set(Recipe.__dataclass_fields__)
    assert described['recipe']['mean'] == (0.5, 0.5, 0.5) and described['recipe']['sigmoid'] is True


def test_published_weights_are_checked(tmp_path, plain, monkeypatch):
    monkeypatch.setattr(find, 'checkpoint_folder', lambda: tmp_path)
    right = hashlib.md5(plain.read_bytes()).hexdigest()
    rows = {
        'right': ForegroundModel('https://nowhere.invalid/plain.onnx', f'md5:{right}', Recipe()),
        'wrong': ForegroundModel('https://nowhere.invalid/plain.onnx', f'md5:{right[::-1]}', Recipe()),
    }
    monkeypatch.setattr(foreground_weights, 'FOREGROUND_MODELS', rows)
    assert build('right').network.path == plain
    with pytest.raises(SetupError, match=f'not the published file of wrong: its md5 is {right}, expected'):
        build('wrong')


def refuse(config, message, checkpoint='auto', **settings):
    with pytest.raises(SetupError, match=message) as error:
        build(config, checkpoint, **settings)
    assert '\n' not in str(error.value)


def test_files_that_do_not_fit(tmp_path, plain, recurrent):
    refuse(tmp_path / 'none.onnx', 'there is no file')
    refuse(tmp_path / 'none.onnx', 'give CHECKPOINT as auto', checkpoint='weights.onnx')
    refuse(tiny_onnx.save_flat(tmp_path / 'flat.onnx'), r'expected floats of shape \(1, 3, H, W\)')
    refuse('u2net', r'takes images of 32x32 only.*size=320', checkpoint=plain)
    refuse('modnet', 'takes images of 32x32 only; expected a file for resize=shorter', checkpoint=plain)
    refuse('rvm', 'has no input downsample_ratio, r1i', checkpoint=plain)
    refuse(recurrent, 'has the inputs src, r1i.*expected one, the image')
    several = tiny_onnx.save_plain(tmp_path / 'several.onnx', outputs=('one', 'two'))
    refuse(several, 'has several outputs; its outputs are one, two. Choose with --cfg-options output=NAME')
    refuse(several, 'has no output three', cfg_options=['output=three'])
    assert build(several, cfg_options=['output=two']).network.outputs == ['two']
    assert build(several, cfg_options=['output=1']).network.outputs == ['two']
    anysize = tiny_onnx.save_plain(tmp_path / 'anysize.onnx', ('h', 'w'))
    refuse(anysize, 'images of any size; say which with --cfg-options size=N')
    assert build(anysize, cfg_options=['size=64'])([image_of(np.zeros((9, 9, 3), np.uint8))])


def test_files_that_are_broken(tmp_path, plain):
    (tmp_path / 'short.onnx').write_bytes(plain.read_bytes()[:-40])
    refuse(tmp_path / 'short.onnx', 'onnxruntime cannot load')
    (tmp_path / 'text.onnx').write_text('no network')
    refuse(tmp_path / 'text.onnx', 'onnxruntime cannot load')
    outside = tiny_onnx.save_plain(
        tmp_path / 'outside.onnx', save_as_external_data=True, location='weights.bin', size_threshold=0
    )
    assert build(outside)
    (tmp_path / 'weights.bin').unlink()
    refuse(outside, 'onnxruntime cannot load.*weights.bin')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('colour=rgb', "there is no 'colour' here; expected one of: resize, size"),
        ('size=big', 'size expected int'),
        ('size=-1', 'size not negative'),
        ('resize=crop', 'resize expected one of stretch, shorter, keep'),
        ('mean=0.5', 'mean expected three numbers'),
        ('std=0,1,1', 'std must not be 0'),
    ],
)
def test_fields_that_cannot_be(plain, option, message):
    refuse(plain, message, cfg_options=[option])


def test_without_onnxruntime(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    refuse(plain, r'pip install "solo_bg\[onnx\]"')


def test_cuda_without_its_provider(plain, monkeypatch):
    from solo_bg.models import onnx_network

    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    with pytest.raises(SetupError, match='pip install onnxruntime-gpu'):
        onnx_network.open_session(plain, torch.device('cuda:1'))
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CUDAExecutionProvider'])
    providers = onnx_network.choose_providers(onnxruntime, torch.device('cuda:1'))
    assert providers == [('CUDAExecutionProvider', {'device_id': 1}), 'CPUExecutionProvider']


def test_an_image_that_the_network_fails_on_is_named_and_the_others_go_on(tmp_path, capsys):
    path = tiny_onnx.save_nan(tmp_path / 'nan.onnx')
    with pytest.raises(ImageError, match='NaN or infinity'):
        build(path)([image_of(np.zeros((9, 9, 3), np.uint8))])
    (tmp_path / 'in').mkdir()
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'in/{name}.png'), np.full((9, 9, 3), 50, np.uint8))
    assert cli.main([str(path), 'auto', str(tmp_path / 'in'), '-o', str(tmp_path / 'out'), '--quiet']) == 1
    assert capsys.readouterr().err.count('NaN or infinity') == 2


@pytest.mark.parametrize('name', ['plain', 'recurrent'])
def test_tiny_images(name, request):
    path = request.getfixturevalue(name)
    source = build(path) if name == 'plain' else build('rvm', path)
    for size in ((1, 1), (1, 70), (3, 2)):
        found = source([image_of(np.full((*size, 3), 255, np.uint8))])[0]
        assert found.size == size and found.alpha.shape == size


def test_the_command_writes_alpha_into_cutouts(tmp_path, pixels):
    path = tiny_onnx.save_plain(tmp_path / 'u2net.onnx', (320, 320))
    cv2.imwrite(str(tmp_path / 'photo.png'), pixels)
    argv = ['u2net', str(path), str(tmp_path / 'photo.png'), '-o', str(tmp_path / 'out'), '--quiet']
    assert cli.main([*argv, '--styles', 'cutout,mask,eliminated']) == 0
    expected = rembg_by_hand(path, pixels, 320, *IMAGENET)
    cutout = cv2.imread(str(tmp_path / 'out/cutout/photo.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cutout[..., 3], expected)
    np.testing.assert_array_equal(cutout[..., :3], pixels)
    eliminated = cv2.imread(str(tmp_path / 'out/eliminated/photo.png'))
    np.testing.assert_array_equal(eliminated, pixels * (expected > 127)[..., None])


def test_small_networks_get_several_images_at_the_same_time(plain, recurrent, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert build(plain).at_once == 2
        assert build('rvm', recurrent).at_once == 1
        assert build(tiny_onnx.save_plain(tmp_path / 'large.onnx', (1024, 1024))).at_once == 1
    finally:
        torch.set_num_threads(threads)


def test_several_images_at_the_same_time_get_the_alpha_that_each_gets_alone(plain, tmp_path, rng):
    for index in range(6):
        cv2.imwrite(str(tmp_path / f'{index}.png'), rng.integers(0, 256, (40 + index, 50, 3), dtype=np.uint8))
    photos = sorted(tmp_path.glob('*.png'))
    recipe = ['spread=true', 'peak=true']
    options = {'styles': ['cutout'], 'device': 'cpu', 'threads': 2, 'cfg_options': recipe}
    records = eliminate_folder(list(map(str, photos)), str(plain), 'auto', out=tmp_path / 'out', **options)
    assert [Path(record.input).name for record in records] == [photo.name for photo in photos]
    source = build(plain, cfg_options=recipe)
    for photo in photos:
        (alone,) = source([image_of(cv2.imread(str(photo)))])
        cutout = cv2.imread(str(tmp_path / 'out/cutout' / photo.name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(cutout[..., 3], alone.alpha)


@needs_openvino
class TestPlainOnOpenVino(SourceContract):
    @pytest.fixture
    def source(self, plain):
        return build(plain, cfg_options=['spread=true', 'peak=true'], backend='openvino')


@needs_openvino
class TestRecurrentOnOpenVino(SourceContract):
    @pytest.fixture
    def source(self, recurrent):
        return build('rvm', recurrent, backend='openvino')


def difference(one, other):
    return np.abs(one.alpha.numpy().astype(int) - other.alpha.numpy()).max()


@needs_openvino
def test_openvinos_alpha_is_that_of_onnxruntime(plain, pixels):
    one = build(plain, backend='openvino')([image_of(pixels)])[0]
    other = build(plain, backend='torch')([image_of(pixels)])[0]
    assert difference(one, other) <= 1 and np.ptp(other.alpha.numpy()) > 50


@needs_openvino
def test_half_precision_inputs_on_openvino(tmp_path, pixels):
    path = tiny_onnx.save_half(tmp_path / 'half.onnx')
    one, other = (build(path, backend=backend)([image_of(pixels)])[0] for backend in ('openvino', 'torch'))
    assert difference(one, other) <= 1 and np.ptp(other.alpha.numpy()) > 50


@needs_openvino
def test_openvino_carries_states_and_stills_do_not_remember(recurrent):
    source = build('rvm', recurrent, backend='openvino')
    ours, theirs = source.start_clip(), build('rvm', recurrent, backend='torch').start_clip()
    for frame in frames(4):
        assert difference(ours(frame), theirs(frame)) <= 1
    first, again = (source(frames(1))[0] for _ in range(2))
    assert torch.equal(first.alpha, again.alpha)


@needs_openvino
def test_openvino_gets_one_image_at_a_time(plain):
    assert build(plain, backend='openvino').at_once == 1


@needs_openvino
def test_the_description_names_library_and_precision(plain):
    assert build(plain).describe().items() >= {'backend': 'onnxruntime', 'precision': 'file'}.items()
    described = build(plain, backend='openvino').describe()
    assert described.items() >= {'backend': 'openvino', 'precision': 'fp32'}.items()


@needs_openvino
def test_files_that_do_not_fit_on_openvino(tmp_path, plain, recurrent):
    refuse(tiny_onnx.save_flat(tmp_path / 'flat.onnx'), r'expected floats of shape \(1, 3, H, W\)', backend='openvino')
    refuse('u2net', r'takes images of 32x32 only.*size=320', checkpoint=plain, backend='openvino')
    refuse('rvm', 'has no input downsample_ratio, r1i', checkpoint=plain, backend='openvino')
    refuse(recurrent, 'has the inputs src, r1i.*expected one, the image', backend='openvino')


@needs_openvino
def test_files_that_are_broken_on_openvino(tmp_path, plain):
    refuse(tmp_path / 'none.onnx', 'there is no file', backend='openvino')
    (tmp_path / 'short.onnx').write_bytes(plain.read_bytes()[:-40])
    refuse(tmp_path / 'short.onnx', 'OpenVINO cannot load', backend='openvino')
    (tmp_path / 'text.onnx').write_text('no network')
    refuse(tmp_path / 'text.onnx', 'OpenVINO cannot load', backend='openvino')


def test_without_openvino(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    refuse(plain, r'pip install "solo_bg\[openvino\]"', backend='openvino')


@needs_openvino
def test_the_command_with_both_libraries(tmp_path, plain, pixels):
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    argv = [str(plain), 'auto', str(tmp_path / 'a.png'), '--styles', 'cutout', '--device', 'cpu']
    assert cli.main([*argv, '-o', str(tmp_path / 'one'), '--backend', 'openvino']) == 0
    assert cli.main([*argv, '-o', str(tmp_path / 'other')]) == 0
    one, other = (cv2.imread(str(tmp_path / name / 'cutout/a.png'), -1)[..., 3] for name in ('one', 'other'))
    assert np.abs(one.astype(int) - other).max() <= 1
    libraries = [
        json.loads((tmp_path / name / 'run.json').read_text())['depends']['source'] for name in ('one', 'other')
    ]
    assert [one['backend'] for one in libraries] == ['openvino', 'onnxruntime']
