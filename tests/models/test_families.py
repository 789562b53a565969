"""Every family of mmdet's instance segmenters, small and with random weights, from its config to pictures."""

import copy
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from agreement import assert_agree
from mmengine.config import ConfigDict
from small_models import CLASSES, save_small_weights, small_config

from solo_bg import Segmenter, SetupError
from solo_bg.cli import main as cli
from solo_bg.draw.styles import load_style
from solo_bg.models.class_names import count_classes
from solo_bg.scenes import draw_scene

pytestmark = [
    pytest.mark.filterwarnings('ignore:To copy construct'),  # mmdet's own, as is the next
    pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``'),
]
FAMILIES = (
    'mask-rcnn_r50_fpn_1x_coco',
    'cascade-mask-rcnn_r50_fpn_1x_coco',
    'htc_r50_fpn_1x_coco',
    'ms-rcnn_r50-caffe_fpn_1x_coco',
    'point_rend_r50_caffe_fpn_mstrain_1x_coco',
    'yolact_r50_1x8_coco',
    'condinst_r50_fpn_ms-poly-90k_coco_instance',
    'solov2_r50_fpn_1x_coco',
    'rtmdet-ins_l_8xb32-300e_coco',
    'queryinst_r50_fpn_1x_coco',
    'mask2former_r50_8xb2-lsj-50e_coco',
)
VARIANTS = (  # of the same heads, with other operators in the backbone, the neck or between
    'solov2_r101-dcn_fpn_ms-3x_coco',
    'mask-rcnn_r50_fpn_dconv_c3-c5_1x_coco',
    'mask-rcnn_r50_fpn_carafe_1x_coco',
    'mask-rcnn_r50_fpn_groie_1x_coco',
    'scnet_r50_fpn_1x_coco',
    'boxinst_r50_fpn_ms-90k_coco',
)
ALWAYS = ('queryinst', 'mask2former')  # have no threshold: they always give the same number of instances


@pytest.fixture(scope='module', params=[*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS)])
def family(request, tmp_path_factory):
    """A family's config, weights and segmenter, and what it finds in an image of another size than it was made for."""
    folder = tmp_path_factory.mktemp(request.param)
    config = small_config(request.param)
    save_small_weights(config, folder / 'weights.pth', draw_scene(7, 96, 128)[0])
    image = draw_scene(7, 90, 130)[0]
    segmenter = Segmenter(config, folder / 'weights.pth', 'cpu')
    (found,) = segmenter([image])
    return SimpleNamespace(
        name=request.param, folder=folder, config=config, image=image, segment=segmenter, found=found
    )


def test_what_it_finds(family):
    found = family.found
    assert not family.segment.lazy
    assert found.masks.dtype == torch.bool and found.masks.shape == (len(found), 90, 130)
    assert found.labels.dtype == torch.int64 and found.scores.dtype == torch.float32
    assert len(found) > 3 and (found.areas > 0).sum() > 2
    assert (found.scores.diff() <= 0).all()
    assert found.class_names == CLASSES and count_classes(family.segment.model) == 3
    for mask, box in zip(found.masks.numpy(), found.boxes.tolist(), strict=True):
        rows, columns = np.nonzero(mask)
        wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if rows.size else [0, 0, 0, 0]
        assert box == wanted


def test_stock_mmdet_gives_the_same(family):
    """mmdet's own way from an image to a result; best score first, as mmdet's own order is not in all families."""
    from mmdet.apis import inference_detector, init_detector

    model = init_detector(family.config, str(family.folder / 'weights.pth'), device='cpu')
    theirs = inference_detector(model, family.image).pred_instances
    theirs = theirs[theirs.scores.argsort(descending=True, stable=True)]
    if not isinstance(theirs.masks, torch.Tensor):
        theirs.masks = torch.from_numpy(theirs.masks)
    assert_agree(family.found, theirs, scores=0, pixels=0)


def test_to_pictures(family):
    """The background is exactly zero, the foreground untouched. Of the smaller masks: random ones fill the image."""
    few = family.found[family.found.areas > 0].sort_by_area()[:3]
    union = few.masks.any(0).numpy()
    assert union.any() and not union.all()
    eliminated, overlay = (
        load_style(name)(torch.from_numpy(family.image), few).numpy() for name in ('eliminated', 'overlay')
    )
    np.testing.assert_array_equal(eliminated, family.image * union[..., None])
    assert not overlay[~union].any() and overlay[union].any() and (overlay != eliminated).any()


@pytest.mark.parametrize('family', ['mask-rcnn_r50_fpn_1x_coco', 'mask2former_r50_8xb2-lsj-50e_coco'], indirect=True)
def test_through_the_command(family):
    family.config.dump(family.folder / 'config.py')
    cv2.imwrite(str(family.folder / 'scene.png'), family.image)
    argv = [family.folder / 'config.py', family.folder / 'weights.pth', family.folder / 'scene.png', '--score-thr', '0']
    options = ['-o', family.folder / 'out', '--device', 'cpu', '--quiet']
    assert cli.main([*map(str, argv), *map(str, options)]) == 0
    picture = cv2.imread(str(family.folder / 'out/eliminated/scene.png'))
    np.testing.assert_array_equal(picture, family.image * family.found.masks.any(0).numpy()[..., None])


@pytest.mark.parametrize('family', [name for name in FAMILIES if not name.startswith(ALWAYS)], indirect=True)
def test_without_instances(family):
    segment = copy.copy(family.segment)
    segment.model = copy.deepcopy(family.segment.model)
    for module in segment.model.modules():
        if getattr(module, 'test_cfg', None):
            module.test_cfg = with_threshold(module.test_cfg, 1.1)
    (nothing,) = segment([family.image])
    assert len(nothing) == 0 and nothing.masks.shape == (0, 90, 130) and nothing.masks.dtype == torch.bool
    assert nothing.labels.dtype == torch.int64 and not nothing.union.any()


def with_threshold(node, threshold):
    changed = {key: with_threshold(value, threshold) for key, value in node.items() if isinstance(value, ConfigDict)}
    return ConfigDict({**node, **changed, **({'score_thr': threshold} if 'score_thr' in node else {})})


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('faster-rcnn_r50_fpn_1x_coco', {}, 'FasterRCNN gives boxes but no masks'),
        (
            'mask2former_r50_8xb2-lsj-50e_coco-panoptic',
            {'panoptic_on': True, 'instance_on': False},
            'Mask2Former gives panoptic_seg but no masks.*instance_on=True',
        ),
    ],
)
def test_what_gives_no_masks_is_refused(name, options, message, tmp_path):
    config = small_config(name)
    config.model.test_cfg.update(options)
    image = draw_scene(7, 96, 128)[0]
    save_small_weights(config, tmp_path / 'weights.pth', image)
    with pytest.raises(SetupError, match=message):
        Segmenter(config, tmp_path / 'weights.pth', 'cpu')([image])
