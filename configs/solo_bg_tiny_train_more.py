"""The second part of the bundled model's training: 2,000 more iterations from the weights of the first part."""

_base_ = './solo_bg_tiny_train.py'

load_from = 'work_dirs/tiny/iter_4400.pth'
iterations = 2000
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=700, end=iterations),
]
randomness = dict(seed=5)
