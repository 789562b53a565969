"""`tools/label_partial.py`: what it teaches, what it leaves out, and what it never touches."""

import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import CHECKPOINT, ROOT
from pycocotools.coco import COCO

from solo_bg.core.instances import Instances
from solo_bg.scenes import draw_scene


@pytest.fixture(scope='module')
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools'))
        import label_partial
    return label_partial


def box(left, right, size=(20, 40)):
    mask = np.zeros(size, bool)
    mask[2:18, left:right] = True
    return mask


def test_both_images_judge_a_pixel(tool):
    straight = Instances(
        torch.from_numpy(np.stack([box(0, 8), box(4, 12)])),
        torch.tensor([3, 5]),
        torch.tensor([0.4, 0.8]),
        tuple('abcdef'),
    )
    mirrored = Instances(torch.from_numpy(box(30, 40)[None]), torch.tensor([3]), torch.tensor([0.6]), tuple('abcdef'))
    pixels = np.arange(20 * 40 * 3, dtype=np.uint8).reshape(20, 40, 3)

    def segmenter(images):
        assert np.array_equal(images[0], pixels) and np.array_equal(images[1], pixels[:, ::-1])
        return [straight, mirrored]

    instances, scores = tool.judge(segmenter, pixels)
    assert [(index, round(score, 3)) for _, index, score in instances] == [(5, 0.8), (3, 0.4)]
    # columns 0 to 3: the weaker instance; 4 to 11: the better one; the mirror image of columns 30 to 39 is 0 to 9
    assert scores[10, [2, 6, 10, 20]] == pytest.approx([0.5, 0.7, 0.4, 0])
    assert scores[0].max() == 0


@pytest.mark.parametrize(
    'score, agreement, columns, taught',
    [
        (0.9, 0.8, (10, 20), True),
        (0.4, 0.8, (10, 20), False),  # not sure enough
        (0.9, 0.2, (10, 20), False),  # the mirror image disagrees
        (0.9, 0.8, (0, 10), False),  # annotated already
        (0.9, 0.8, (2, 14), False),  # mostly
        (0.9, 0.8, (6, 20), True),  # what is left of it
        (0.9, 0.8, (10, 13), False),  # too small
    ],
)
def test_only_what_is_sure_and_new_is_taught(tool, score, agreement, columns, taught):
    known, mask = box(0, 10), box(*columns)
    scores = np.where(mask, np.float32(agreement), np.float32(0.01))
    chosen, crowd = tool.label([(mask, 4, score)], scores, known)
    assert len(chosen) == taught
    if taught:
        new, index = chosen[0]
        assert index == 4 and np.array_equal(new, mask & ~known) and not crowd.any()
    else:
        assert np.array_equal(crowd, mask & ~known)


def test_chosen_instances_share_no_pixel(tool):
    scores = np.full((20, 40), 0.7, np.float32)
    chosen, crowd = tool.label([(box(10, 20), 1, 0.9), (box(15, 30), 2, 0.8)], scores, box(0, 5))
    assert np.array_equal(chosen[0][0], box(10, 20)) and np.array_equal(chosen[1][0], box(20, 30))
    assert np.array_equal(crowd, ~(box(0, 5) | box(10, 30)))


def test_annotated_objects_stay_and_nothing_overlaps_them(tool, tmp_path, monkeypatch):
    image, masks = draw_scene(7_000_002)
    folder = tmp_path / 'partial'
    (folder / 'images').mkdir(parents=True)
    cv2.imwrite(str(folder / 'images/one.png'), image)
    known = np.asarray(masks[0])
    parts = [
        {'image_id': 7, 'category_id': 13, 'iscrowd': crowd, **tool.encode(mask)}
        for mask, crowd in ((known, 0), (~known, 1))
    ]
    height, width = image.shape[:2]
    tool.write_coco(folder / 'train.json', [{'id': 7, 'file_name': 'one.png', 'height': height, 'width': width}], parts)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'argv', ['label_partial.py', str(CHECKPOINT), '--data', str(tmp_path)])
    tool.main()
    before, after = COCO(str(folder / 'train.json')), COCO(str(folder / 'labelled.json'))
    kept, *found = after.imgToAnns[7]
    assert kept == before.imgToAnns[7][0]
    assert len(found) > 1 and len(masks) > 2  # the scene's other objects
    covered = sum(after.annToMask(one).astype(int) for one in after.imgToAnns[7])
    assert covered.max() == 1 and not covered.all()  # the background is taught as such
    others = np.any(np.asarray(masks[1:]), axis=0) & ~known
    taught = np.any([after.annToMask(one) for one in found if not one['iscrowd']], axis=0)
    assert (taught & others).sum() / (taught | others).sum() > 0.7
