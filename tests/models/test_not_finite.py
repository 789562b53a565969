"""NaN and infinity are the image's error; in fp16 the image is first tried again in fp32."""

from pathlib import PurePosixPath

import cv2
import numpy as np
import pytest
import torch
from conftest import CHECKPOINT, CONFIG
from small_models import save_small_weights, small_config

from solo_bg import ImageError, Segmenter
from solo_bg.disk.inputs import ImageFile
from solo_bg.errors import NotFiniteError
from solo_bg.models.detector import watched_parts
from solo_bg.options import Options
from solo_bg.pipeline import run
from solo_bg.scenes import draw_scene
from solo_bg.sources.detector import Detector

FAMILIES = ('mask-rcnn_r50_fpn_1x_coco', 'solov2_r50_fpn_1x_coco', 'mask2former_r50_8xb2-lsj-50e_coco')


@pytest.fixture(scope='module', params=FAMILIES)
def weights(request, tmp_path_factory):
    config, path = small_config(request.param), tmp_path_factory.mktemp(request.param) / 'weights.pth'
    save_small_weights(config, path, draw_scene(7, 96, 128)[0])
    return config, path


def without_finite_scores(segmenter, monkeypatch):
    """Its model gives NaN for the last score of images that are black in their first corner."""
    real = segmenter.model.test_step

    def test_step(batch):
        samples = real(batch)
        for sample, inputs in zip(samples, batch['inputs'], strict=True):
            if not inputs[:, 0, 0].any():
                sample.pred_instances.scores[-1] = torch.nan
        return samples

    monkeypatch.setattr(segmenter.model, 'test_step', test_step)
    return segmenter


def test_a_score_of_another_family_is_that_images_error(weights, monkeypatch, tmp_path):
    segmenter = without_finite_scores(Segmenter(*weights, 'cpu'), monkeypatch)
    good, bad = draw_scene(7, 96, 128)[0], draw_scene(7, 96, 128)[0]
    good[0, 0], bad[:2, :2] = 9, 0
    with pytest.raises(ImageError, match='NaN or infinity'):
        segmenter([bad])
    for name, image in (('a', good), ('b', bad), ('c', good)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    images = [ImageFile(path, str(path), PurePosixPath(path.name), tmp_path) for path in sorted(tmp_path.glob('*.png'))]
    options = Options(out=tmp_path / 'out', styles=['mask'], batch_size=3, workers=1)
    records = list(run(images, Detector(segmenter), options))
    assert [record.status == 'error' for record in records] == [False, True, False]
    assert 'NaN or infinity' in records[1].error and records[1].traceback is None


@pytest.mark.parametrize('lazy', [True, False])
def test_what_overflows_in_fp16_is_tried_again_in_fp32(lazy):
    images = [draw_scene(seed, 96, 96)[0] for seed in (5, 6)]  # float16 is slow on a CPU
    small = {'test_dataloader.dataset.pipeline.1.scale': (96, 96)}
    exact, half = (Segmenter(CONFIG, CHECKPOINT, 'cpu', small, precision, lazy) for precision in ('fp32', 'fp16'))
    for segmenter in (exact, half):
        spoil(segmenter.model.neck)
    precisions, forward = [], half.forward
    half.forward = lambda batch, precision: (
        precisions.append((len(batch['inputs']), precision)) or forward(batch, precision)
    )
    found, wanted = half(images), exact(images)
    assert precisions == [(2, 'fp16'), *[(1, 'fp16'), (1, 'fp32')] * 2]
    for one, other in zip(found, wanted, strict=True):
        assert len(one) == len(other) > 0
        torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-3)
        assert (one.masks != other.masks).float().mean() < 1e-3


def spoil(neck):
    """Let a layer of the neck overflow in float16, and not in float32."""
    factor = 2.0**24

    def enlarge(module, inputs, output):
        return output * factor / factor  # in float16 this is infinite

    neck.lateral_convs[0].register_forward_hook(enlarge)


def test_what_overflows_in_fp32_too_is_an_error():
    half = Segmenter(CONFIG, CHECKPOINT, 'cpu', precision='fp16')
    half.model.neck.lateral_convs[0].register_forward_hook(lambda module, inputs, output: output * torch.inf)
    with pytest.raises(NotFiniteError, match='NaN or infinity'):
        half([draw_scene(5)[0]])


def test_numbers_that_overflow_before_the_scores_are_noticed(weights):
    """Most families drop an instance whose score is NaN; the image would pass for an empty one."""
    half = Segmenter(*weights, 'cpu', precision='fp16')
    image = draw_scene(7, 96, 128)[0]
    part = half.model.backbone
    overflow = part.register_forward_hook(lambda module, inputs, output: tuple(one * torch.inf for one in output))
    with pytest.raises(NotFiniteError):
        half([image])
    overflow.remove()
    half([image])


def test_every_head_is_watched(weights):
    names = {type(part).__name__ for part in watched_parts(Segmenter(*weights, 'cpu').model)}
    heads = {
        'mask-rcnn': {'FPN', 'RPNHead', 'Shared2FCBBoxHead', 'FCNMaskHead'},
        'solov2': {'FPN', 'SOLOV2Head', 'MaskFeatModule'},
        'mask2former': {'ResNet', 'Mask2FormerHead'},
    }
    assert any(wanted <= names for wanted in heads.values()), names


def test_the_families_compute_finite_numbers_in_bf16(weights):
    """Watching finds nothing where nothing overflows."""
    (found,) = Segmenter(*weights, 'cpu', precision='bf16')([draw_scene(7, 90, 130)[0]])
    assert np.isfinite(found.scores.numpy()).all() and len(found)
