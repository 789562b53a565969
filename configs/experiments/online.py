"""Arm: the background zero in half of the draws, by the transform."""

_base_ = 'base.py'
train_dataloader = dict(dataset={{_base_.online}})
