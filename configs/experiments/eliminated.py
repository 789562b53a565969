"""Arm: the images with their backgrounds zero, and nothing else."""

_base_ = 'base.py'
train_dataloader = dict(dataset={{_base_.eliminated}})
