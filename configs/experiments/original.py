"""Arm: the images as they are. The others are compared with this one."""

_base_ = 'base.py'
