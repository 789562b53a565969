"""Arm: the images as they are and with their backgrounds zero, half and half."""

_base_ = 'base.py'
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[{{_base_.original}}, {{_base_.eliminated}}])
)
