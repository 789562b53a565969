"""The checkpoints that the original SOLO repository lists: names and shapes of their weights, and the config to use.

Written from the repository's configs (https://github.com/WXinlong/SOLO) and the descriptions of ResNet and FPN.
"""

from original_solo import Head
from original_solov2 import Original

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
GRIDS = (40, 36, 24, 16, 12)
R101 = {'model.backbone.depth': 101}
DCN = {
    'model.backbone.dcn.type': 'DCN',
    'model.backbone.dcn.fallback_on_stride': False,
    'model.backbone.stage_with_dcn': (False, True, True, True),
    'model.mask_head.dcn_cfg.type': 'DCN',
    'test_dataloader.dataset.pipeline.1.scale': (852, 512),
}
SOLO, DECOUPLED, LIGHT = (
    'solo_r50_fpn_1x_coco',
    'decoupled-solo_r50_fpn_1x_coco',
    'decoupled-solo-light_r50_fpn_3x_coco',
)
FILES = {  # file name -> backbone (depth, DCN, ResNeXt), head, name of mmdet's model, overrides of its config
    'SOLO_R50_1x': ((50,), ('solo',), SOLO, {}),
    'SOLO_R101_3x': ((101,), ('solo',), SOLO, R101),
    'Decoupled_SOLO_R50_1x': ((50,), ('decoupled',), DECOUPLED, {}),
    'Decoupled_SOLO_R101_3x': ((101,), ('decoupled',), DECOUPLED, R101),
    'Decoupled_SOLO_Light_R50_3x': ((50,), ('light',), LIGHT, {}),
    'Decoupled_SOLO_Light_DCN_R50_3x': ((50, 'DCN'), ('light', 'DCN'), LIGHT, DCN),
    'SOLOv2_R50_1x': ((50,), ('v2',), 'solov2_r50_fpn_1x_coco', {}),
    'SOLOv2_R101_3x': ((101,), ('v2',), 'solov2_r50_fpn_1x_coco', R101),
    'SOLOv2_R101_DCN_3x': ((101, 'DCNv2'), ('v2', 'DCNv2'), 'solov2_r101-dcn_fpn_ms-3x_coco', {}),
    'SOLOv2_X101_DCN_3x': ((101, 'DCNv2', True), ('v2', 'DCNv2'), 'solov2_x101-dcn_fpn_ms-3x_coco', {}),
    'SOLOv2_Light_448_R18_3x': ((18,), ('v2-448',), 'solov2-light_r18_fpn_ms-3x_coco', {}),
    'SOLOv2_Light_448_R34_3x': ((34,), ('v2-448',), 'solov2-light_r34_fpn_ms-3x_coco', {}),
    'SOLOv2_Light_448_R50_3x': ((50,), ('v2-448',), 'solov2-light_r50_fpn_ms-3x_coco', {}),
    'SOLOv2_Light_512_DCN_R50_3x': ((50, 'DCN'), ('v2-512', 'DCN'), 'solov2-light_r50-dcn_fpn_ms-3x_coco', DCN),
}  # three more files differ only in the length of the training: 3x instead of 1x


def shapes(file, classes=80):
    """Return name -> shape of all weights in a file."""
    backbone, head, *_ = FILES[file]
    found = {f'backbone.{name}': shape for name, shape in resnet(*backbone).items()}
    found |= {f'neck.{name}': shape for name, shape in fpn(*backbone[:1]).items()}
    return found | {name: tuple(value.shape) for name, value in heads(classes, *head).items()}


def heads(classes, kind, dcn=None):
    """Return name -> weight of a head, with the names that it has in a detector."""
    depth, tower = {'v2': (4, 512), 'v2-448': (2, 256), 'v2-512': (3, 256)}.get(kind, (None, None))
    if depth:
        channels = (256, tower, 128, 256 if kind == 'v2' else 128)
        return Original(classes, channels, depth, GRIDS, dcn, light=kind == 'v2-512').state_dict()
    head = Head(kind, classes, 256, 4 if kind == 'light' else 7, GRIDS, dcn)
    return {f'bbox_head.{name}': value for name, value in head.state_dict().items()}


def resnet(depth, dcn=None, wide=False):
    """Return name -> shape of the weights of a ResNet, or with `wide` of a ResNeXt 64x4d."""
    found = conv('conv1', 3, 64, 7) | norm('bn1', 64)
    inputs = 64
    for layer, blocks in enumerate(BLOCKS[depth], 1):
        planes = 64 * 2 ** (layer - 1)
        outputs, inner = planes * (4 if depth >= 50 else 1), planes * (4 if wide else 1)
        for block in range(blocks):
            at = f'layer{layer}.{block}'
            if block == 0 and (inputs != outputs or layer > 1):
                found |= conv(f'{at}.downsample.0', inputs, outputs, 1) | norm(f'{at}.downsample.1', outputs)
            if depth < 50:
                layers = [(inputs, planes, 3), (planes, planes, 3)]
            else:
                layers = [(inputs, inner, 1), (inner // (64 if wide else 1), inner, 3), (inner, outputs, 1)]
            for number, (one, other, side) in enumerate(layers, 1):
                found |= conv(f'{at}.conv{number}', one, other, side) | norm(f'{at}.bn{number}', other)
            if dcn and layer > 1:
                offsets = {'DCN': 18, 'DCNv2': 27}[dcn]
                found |= conv(f'{at}.conv2.conv_offset', inner, offsets, 3, bias=True)
            inputs = outputs
    return found


def fpn(depth):
    """Return name -> shape of the weights of an FPN behind a ResNet of this depth."""
    found = {}
    for level in range(4):
        inputs = 64 * 2**level * (4 if depth >= 50 else 1)
        found |= conv(f'lateral_convs.{level}.conv', inputs, 256, 1, bias=True)
        found |= conv(f'fpn_convs.{level}.conv', 256, 256, 3, bias=True)
    return found


def conv(name, inputs, outputs, side, bias=False):
    weight = {f'{name}.weight': (outputs, inputs, side, side)}
    return weight | {f'{name}.bias': (outputs,)} if bias else weight


def norm(name, channels):
    counted = {f'{name}.num_batches_tracked': ()}
    return counted | {f'{name}.{kind}': (channels,) for kind in ('weight', 'bias', 'running_mean', 'running_var')}
