"""What the models of this folder that tell classes apart share: COCO's photographs, the schedule and the metrics.

Give another data set with `SOLO_BG_COCO=FOLDER`, or with `--cfg-options`. A config that inherits this one and has other
classes names them in `metainfo` of the data sets and in `num_classes` of the model.
"""

_base_ = 'mmdet::_base_/default_runtime.py'

data_root = '{{$SOLO_BG_COCO:data/coco}}/'
backbone_weights = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
data_preprocessor = dict(
    type='DetDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_mask=True,
    pad_size_divisor=32,
)
scale, size = (480, 360), (320, 320)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
train_pipeline = [
    *load,
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=scale, ratio_range=(0.6, 1.3), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(3, 3), by_mask=True, min_gt_mask_area=20, keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load[0],
    dict(type='Resize', scale=scale, keep_ratio=True),
    load[1],
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
test_ann_file = 'annotations/instances_val2017.json'
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file=test_ann_file,
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = [
    dict(type='CocoMetric', ann_file=data_root + test_ann_file, metric='segm'),
    dict(type='RegionAP', ann_file=data_root + test_ann_file),
    dict(type='MaskProposalRecall', ann_file=data_root + test_ann_file),
]
test_cfg = dict(type='TestLoop')
val_cfg = val_dataloader = val_evaluator = None

iterations = 8000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys=dict(backbone=dict(lr_mult=0.2))),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=iterations // 2, end=iterations),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=500, by_epoch=False, max_keep_ckpts=2),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
