"""FOREGROUND_MODELS: published networks that separate foreground from background, one row each."""

from __future__ import annotations

from dataclasses import dataclass

REMBG = 'https://github.com/danielgatis/rembg/releases/download/v0.0.0/'
RVM = 'https://github.com/PeterL1n/RobustVideoMatting/releases/download/v1.0.0/'
HIVISION = 'https://github.com/Zeyi-Lin/HivisionIDPhotos/releases/download/pretrained-model/'


@dataclass(frozen=True)
class Recipe:
    """How an image becomes a network's input, and how its output becomes alpha. `--cfg-options` sets any field.

    Attributes:
        resize: how the image is brought to the input's size. `stretch`: to `size` x `size`. `shorter`: the shorter side
            becomes `size`, and both sides are multiples of 32; an image whose sides lie on either side of `size` keeps
            its own, as MODNet does. `keep`: the image keeps its size, up to 3840 pixels on the longer side.
        size: pixels, as `resize` takes them; 0: the size that the network's file fixes. With `keep` it is the longer
            side of the copy in which RobustVideoMatting looks for persons.
        filter: `lanczos` (Pillow) or `area` (OpenCV), for the input and for alpha.
        peak: divide pixels by the image's brightest value, as rembg does, instead of by 255.
        mean, std: subtracted from and divided into the scaled pixels, RGB.
        output: the output that holds alpha, by name or by number; '': the only one.
        sigmoid: apply the logistic function to the output.
        spread: spread the output linearly so that its least value becomes 0 and its largest 1.
        states: names of recurrent states, without the `i` of the input and the `o` of the output.
        ratio: the input that takes the ratio of `size` to the image's longer side; '': there is none.
        classes: class names. Several: the output has one channel for the background and one for each class, and the
            largest wins; there is no alpha then.
    """

    resize: str = 'stretch'
    size: int = 0
    filter: str = 'lanczos'
    peak: bool = False
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    output: str = ''
    sigmoid: bool = False
    spread: bool = False
    states: tuple[str, ...] = ()
    ratio: str = ''
    classes: tuple[str, ...] = ('foreground',)


@dataclass(frozen=True)
class ForegroundModel:
    """A row: the address of the weights, their checksum as `md5:...` or `sha256:...`, and the recipe."""

    url: str
    checksum: str
    recipe: Recipe

    @property
    def file_name(self) -> str:
        return self.url.rpartition('/')[2]


def rembg_recipe(
    size: int,
    mean: tuple[float, ...] = (0.485, 0.456, 0.406),
    std: tuple[float, ...] = (0.229, 0.224, 0.225),
    sigmoid: bool = False,
    classes: tuple[str, ...] = ('foreground',),
) -> Recipe:
    """What rembg does for all of its models: first output, its values spread from 0 to 1."""
    return Recipe('stretch', size, 'lanczos', True, mean, std, '0', sigmoid, len(classes) == 1, classes=classes)


U2NET = rembg_recipe(320)
U2NET_PERSON = rembg_recipe(320, classes=('person',))
U2NET_CLOTH = rembg_recipe(768, classes=('upper', 'lower', 'full'))
ISNET = rembg_recipe(1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
ISNET_ANIME = rembg_recipe(1024, std=(1.0, 1.0, 1.0))
BIREFNET = rembg_recipe(1024, sigmoid=True)
BIREFNET_PERSON = rembg_recipe(1024, sigmoid=True, classes=('person',))
MODNET = Recipe('shorter', 512, 'area', mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), output='0', classes=('person',))
RVM_RECIPE = Recipe(
    'keep', 512, 'area', mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), output='pha', states=('r1', 'r2', 'r3', 'r4'),
    ratio='downsample_ratio', classes=('person',),
)  # fmt: skip

FOREGROUND_MODELS = {
    name: ForegroundModel(url, checksum, recipe)
    for name, url, checksum, recipe in (
        ('u2net', f'{REMBG}u2net.onnx', 'md5:60024c5c889badc19c04ad937298a77b', U2NET),
        ('u2netp', f'{REMBG}u2netp.onnx', 'md5:8e83ca70e441ab06c318d82300c84806', U2NET),
        ('silueta', f'{REMBG}silueta.onnx', 'md5:55e59e0d8062d2f5d013f4725ee84782', U2NET),
        ('u2net_human_seg', f'{REMBG}u2net_human_seg.onnx', 'md5:c09ddc2e0104f800e3e1bb4652583d1f', U2NET_PERSON),
        ('u2net_cloth_seg', f'{REMBG}u2net_cloth_seg.onnx', 'md5:2434d1f3cb744e0e49386c906e5a08bb', U2NET_CLOTH),
        ('isnet-general-use', f'{REMBG}isnet-general-use.onnx', 'md5:fc16ebd8b0c10d971d3513d564d01e29', ISNET),
        ('isnet-anime', f'{REMBG}isnet-anime.onnx', 'md5:6f184e756bb3bd901c8849220a83e38e', ISNET_ANIME),
        ('birefnet-general', f'{REMBG}BiRefNet-general-epoch_244.onnx',
         'md5:7a35a0141cbbc80de11d9c9a28f52697', BIREFNET),
        ('birefnet-general-lite', f'{REMBG}BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx',
         'md5:4fab47adc4ff364be1713e97b7e66334', BIREFNET),
        ('birefnet-portrait', f'{REMBG}BiRefNet-portrait-epoch_150.onnx',
         'md5:c3a64a6abf20250d090cd055f12a3b67', BIREFNET_PERSON),
        ('birefnet-dis', f'{REMBG}BiRefNet-DIS-epoch_590.onnx', 'md5:2d4d44102b446f33a4ebb2e56c051f2b', BIREFNET),
        ('birefnet-hrsod', f'{REMBG}BiRefNet-HRSOD_DHU-epoch_115.onnx',
         'md5:c017ade5de8a50ff0fd74d790d268dda', BIREFNET),
        ('birefnet-cod', f'{REMBG}BiRefNet-COD-epoch_125.onnx', 'md5:f6d0d21ca89d287f17e7afe9f5fd3b45', BIREFNET),
        ('birefnet-massive', f'{REMBG}BiRefNet-massive-TR_DIS5K_TR_TEs-epoch_420.onnx',
         'md5:33e726a2136a3d59eb0fdf613e31e3e9', BIREFNET),
        ('modnet', f'{HIVISION}modnet_photographic_portrait_matting.onnx',
         'sha256:07c308cf0fc7e6e8b2065a12ed7fc07e1de8febb7dc7839d7b7f15dd66584df9', MODNET),
        ('rvm', f'{RVM}rvm_mobilenetv3_fp32.onnx',
         'sha256:88d4531297118f595bf2fd60f6f566aec2e559393802d1f436c380f0cbbd2828', RVM_RECIPE),
        ('rvm-resnet50', f'{RVM}rvm_resnet50_fp32.onnx',
         'sha256:25db300fcb6ee27f941a1b52c97856e8d1f13c7f35817f81a612f89af0e8a85c', RVM_RECIPE),
    )
}  # fmt: skip
