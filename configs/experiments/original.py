"""Arm: only original images. The other arms are compared with this one."""

_base_ = 'base.py'
