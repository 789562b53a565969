"""Arm: half original images, half images with their background filled with the mean colour, noise or blur."""

_base_ = 'base.py'
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[{{_base_.original}}, {{_base_.filled}}])
)
