"""Arm: the transform sets the background to zero with a probability of 0.5."""

_base_ = 'base.py'
train_dataloader = dict(dataset={{_base_.online}})
