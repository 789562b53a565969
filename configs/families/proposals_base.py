"""What the class-agnostic models of this folder share: COCO's photographs, the schedule and average recall.

Give another data set with `--cfg-options data_root=...`. It takes COCO annotations of any classes.
"""

_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(
    imports=['solo_bg.mmdet_plugin.class_agnostic', 'solo_bg.mmdet_plugin.metrics'], allow_failed_imports=False
)

data_root = '{{$SOLO_BG_COCO:data/coco}}/'
backbone_weights = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
data_preprocessor = dict(
    type='DetDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_mask=True,
)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
pack = dict(type='PackDetInputs', meta_keys=meta_keys)
dataset = dict(
    type='ClassAgnosticCocoDataset',
    data_root=data_root,
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
    filter_cfg=dict(filter_empty_gt=False),  # images without objects give negative examples
)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dataset,
)
test_ann_file = 'annotations/instances_val2017.json'
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ClassAgnosticCocoDataset',
        data_root=data_root,
        ann_file=test_ann_file,
        data_prefix=dict(img='val2017/'),
        test_mode=True,
    ),
)
test_evaluator = [dict(type='MaskProposalRecall', ann_file=data_root + test_ann_file)]
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
