"""The fourth part of the bundled model's training: 5,600 more iterations of smaller batches, with more variation."""

_base_ = './solo_bg_tiny_train_larger.py'

load_from = 'work_dirs/tiny_larger/iter_1250.pth'
flip, *rest = _base_.jitter
jitter = [flip, dict(type='Rotate', prob=0.3, max_mag=15.0, img_border_value=(114, 114, 114)), *rest]
datasets = [
    dict(one, times=times, dataset=dict(one.dataset, pipeline=_base_.load + jitter))
    for one, times in zip(_base_.datasets, [16, 16, 2, 1], strict=True)
]
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(max_num_pasted=8)
train_dataloader = dict(batch_size=4, dataset=dict(dataset=dict(datasets=datasets), pipeline=train_pipeline))

iterations = 5600
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=2200, end=iterations),
]
custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, gamma=300, update_buffers=True)]
randomness = dict(seed=7)
