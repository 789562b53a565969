"""Compare the results of two ways to predict."""

import torch


def assert_agree(ours, theirs, scores=1e-5, pixels=1e-4):
    """Assert that two results have the same labels in the same order, and nearly the same scores and masks.

    Args:
        ours: `Instances`.
        theirs: mmdet's `InstanceData`.
        scores: largest difference of a score.
        pixels: share of the pixels that may differ, because their value is a rounding error away from the threshold.
    """
    assert len(ours) == len(theirs.scores)
    assert torch.equal(ours.labels, theirs.labels.long())
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=scores)
    assert tuple(ours.masks.shape) == tuple(theirs.masks.shape)
    differing = int((ours.masks != theirs.masks.bool()).sum())
    assert differing <= pixels * ours.masks.numel(), f'{differing} of {ours.masks.numel()} pixels differ'
