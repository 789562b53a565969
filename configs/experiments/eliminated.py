"""Arm: only images with their background set to zero."""

_base_ = 'base.py'
train_dataloader = dict(dataset={{_base_.eliminated}})
