"""The second part of the bundled model's training: larger crops, and a rate that falls."""

_base_ = './solo_bg_tiny_train.py'

load_from = 'work_dirs/tiny/iter_1800.pth'
size = (320, 320)
*jitter, crop, pad = _base_.jitter
jitter = [*jitter, dict(crop, crop_size=size), dict(pad, size=size)]
datasets = [
    dict(one, dataset=dict(one.dataset, pipeline=_base_.load + jitter))
    for one in _base_.train_dataloader.dataset.dataset.datasets
]
train_dataloader = dict(dataset=dict(dataset=dict(datasets=datasets)))

iterations = 2500
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=700, end=iterations),
]
randomness = dict(seed=6)
