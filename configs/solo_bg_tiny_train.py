"""The first part of the bundled model's training: on `tools/prepare_tiny.py`'s photographs and drawn scenes, from a
ResNet-50 that learnt ImageNet. The commands are in checkpoints/README.md."""

_base_ = './solo_bg_tiny.py'
custom_imports = dict(imports=[*_base_.custom_imports.imports, 'solo_bg.mmdet_plugin.bf16'], allow_failed_imports=False)

backbone_weights = 'open-mmlab://detectron2/resnet50_caffe'
model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=backbone_weights)))

data_root = 'data/tiny/'
size = (256, 256)
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
]
jitter = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='Rotate', prob=0.3, max_mag=15.0, img_border_value=(114, 114, 114)),
    dict(type='RandomResize', scale=(448, 320), ratio_range=(0.5, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='Pad', size=size, pad_val=dict(img=(114, 114, 114), masks=0)),
]
train_pipeline = [
    dict(type='CopyPasteInstances', max_num_pasted=6, mask_occluded_thr=60),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomGrayscale', prob=0.05, keep_channels=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(3, 3), by_mask=True, min_gt_mask_area=20, keep_empty=False),
    dict(type='PackDetInputs'),
]


def coco(part, times):
    dataset = dict(
        type='CocoDataset',
        metainfo=dict(classes=_base_.classes),
        ann_file=f'{data_root}{part}/train.json',
        data_prefix=dict(img=f'{data_root}{part}/images/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=16),
        pipeline=load + jitter,
    )
    return dict(type='RepeatDataset', times=times, dataset=dataset)


train_dataloader = dict(
    _delete_=True,
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='MultiImageMixDataset',
        dataset=dict(
            type='ConcatDataset',  # photographs marked in full 60%, in part 27%, drawn scenes 13%
            datasets=[coco('complete', 14), coco('instances_train2017', 14), coco('partial', 2), coco('scenes', 1)],
        ),
        pipeline=train_pipeline,
    ),
)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None

iterations = 1800
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=8e-4, weight_decay=0.1),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys=dict(backbone=dict(lr_mult=0.15))),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
]
custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, gamma=500, update_buffers=True)]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(_delete_=True, type='CheckpointHook', interval=250, by_epoch=False, max_keep_ckpts=2),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = None
randomness = dict(seed=0)
