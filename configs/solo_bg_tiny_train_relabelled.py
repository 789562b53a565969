"""The fourth part of the bundled model's training: once more, on what `tools/label_partial.py` labelled with the model of
the third part."""

_base_ = './solo_bg_tiny_train_labelled.py'

load_from = 'work_dirs/tiny_labelled/iter_2400.pth'
iterations = 1300
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=200, end=iterations),
]
randomness = dict(seed=8)
