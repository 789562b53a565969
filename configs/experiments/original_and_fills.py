"""Arm: the images as they are and with their backgrounds filled with their mean, noise or blur, half and half."""

_base_ = 'base.py'
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[{{_base_.original}}, {{_base_.filled}}])
)
