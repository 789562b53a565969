"""Does background elimination help a detector? The settings that all arms share; each arm only chooses its data.

tools/prepare_experiment.py makes the data and tools/experiment.py runs the arms.
"""

_base_ = '../solo_bg_tiny.py'
custom_imports = dict(
    imports=[*_base_.custom_imports.imports, 'solo_bg.mmdet_plugin.eliminate_background'], allow_failed_imports=False
)

root = '{{$SOLO_BG_EXPERIMENT:data/experiment/photos}}/'
size = (192, 192)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
augment = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=_base_.test_pipeline[1]['scale'], ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='Pad', size=size, pad_val=dict(img=(114, 114, 114), masks=0)),
    dict(type='PhotoMetricDistortion'),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4), by_mask=True, min_gt_mask_area=32, keep_empty=False),
    dict(type='PackDetInputs'),
]
common = dict(
    type='CocoDataset',
    metainfo=dict(classes=('object',)),
    data_root=root,
    ann_file='train.json',
    filter_cfg=dict(filter_empty_gt=True, min_size=16),
)
original = dict(data_prefix=dict(img='train/'), pipeline=load + augment, **common)
eliminated = dict(data_prefix=dict(img='train_zero/eliminated/'), pipeline=load + augment, **common)
filled = dict(data_prefix=dict(img='train_fills/eliminated/'), pipeline=load + augment, **common)
online = dict(
    data_prefix=dict(img='train/'), pipeline=[*load, dict(type='EliminateBackground', prob=0.5), *augment], **common
)

# a detector from scratch learns nothing in so short a training, so all arms start from the bundled model; its layer of
# 13 classes does not fit one class and starts anew
load_from = '{{ fileDirname }}/../../checkpoints/solo_bg_tiny.pth'
model = dict(mask_head=dict(num_classes=1))

train_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=original,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=root, ann_file='test.json', data_prefix=dict(img='test/')),
)
test_evaluator = [
    dict(type='CocoMetric', ann_file=f'{root}test.json', metric=['segm', 'bbox']),
    dict(type='ForegroundIoU', ann_file=f'{root}test.json'),
]
val_cfg = val_dataloader = val_evaluator = None

iterations = 110
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2))),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=30, end=iterations),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    checkpoint=dict(_delete_=True, type='CheckpointHook', interval=iterations, by_epoch=False, max_keep_ckpts=1),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = None
