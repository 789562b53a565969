"""Arm: half original images, half images with their background set to zero."""

_base_ = 'base.py'
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[{{_base_.original}}, {{_base_.eliminated}}])
)
