"""The third part of the bundled model's training: 1,250 more iterations on larger images and crops."""

_base_ = './solo_bg_tiny_train.py'

load_from = 'work_dirs/tiny_more/iter_2000.pth'
size = (224, 224)
jitter = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=(392, 280), ratio_range=(0.5, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='Pad', size=size, pad_val=dict(img=(114, 114, 114), masks=0)),
]

datasets = [
    dict(one, dataset=dict(one.dataset, pipeline=_base_.load + jitter))
    for one in _base_.train_dataloader.dataset.dataset.datasets
]
train_dataloader = dict(dataset=dict(dataset=dict(datasets=datasets)))

iterations = 1250
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=550, end=iterations),
]
randomness = dict(seed=6)
