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


def coco(part, times):
    dataset = dict(
        type='CocoDataset',
        metainfo=dict(classes=_base_.classes),
        ann_file=f'{_base_.data_root}{part}/train.json',
        data_prefix=dict(img=f'{_base_.data_root}{part}/images/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=16),
        pipeline=_base_.load + jitter,
    )
    return dict(type='RepeatDataset', times=times, dataset=dataset)


datasets = [coco('complete', 14), coco('instances_train2017', 14), coco('partial', 2), coco('scenes', 1)]
train_dataloader = dict(dataset=dict(dataset=dict(datasets=datasets)))

iterations = 1250
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=60),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=550, end=iterations),
]
randomness = dict(seed=6)
