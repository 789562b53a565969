"""What it means that two ways of predicting agree."""

import torch


def assert_agree(ours, theirs, scores=1e-5, pixels=1e-4):
    """`ours`: `Instances`. `theirs`: mmdet's `InstanceData`. Masks may differ in `pixels` of their pixels: at a value a
    rounding away from the threshold."""
    assert len(ours) == len(theirs.scores)
    assert torch.equal(ours.labels, theirs.labels.long())
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=scores)
    assert tuple(ours.masks.shape) == tuple(theirs.masks.shape)
    differing = int((ours.masks != theirs.masks.bool()).sum())
    assert differing <= pixels * ours.masks.numel(), f'{differing} of {ours.masks.numel()} pixels differ'
