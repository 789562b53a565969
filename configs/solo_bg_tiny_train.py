"""How the bundled model was trained: from scratch, on `tools/prepare_tiny.py`'s photographs and drawn scenes."""

_base_ = './solo_bg_tiny.py'
custom_imports = dict(
    imports=['solo_bg.mmdet_plugin.bf16', 'solo_bg.mmdet_plugin.foreground_loss'], allow_failed_imports=False
)

model = dict(mask_head=dict(type='ForegroundDecoupledSOLOLightHead', foreground_weight=1.0))

data_root = 'data/tiny/'
size = (256, 256)
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
]
jitter = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='Rotate', prob=0.4, min_mag=0.0, max_mag=30.0, img_border_value=114),
    dict(type='RandomResize', scale=(352, 256), ratio_range=(0.6, 1.8), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='Pad', size=size, pad_val=dict(img=(114, 114, 114), masks=0)),
]
train_pipeline = [
    dict(type='CopyPaste', max_num_pasted=6, mask_occluded_thr=100),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomGrayscale', prob=0.1, keep_channels=True),
    dict(type='CutOut', n_holes=(0, 4), cutout_shape=[(16, 16), (32, 32), (48, 48)], fill_in=(114, 114, 114)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4), by_mask=True, min_gt_mask_area=32, keep_empty=False),
    dict(type='PackDetInputs'),
]


def coco(part, times, ann='train'):
    dataset = dict(
        type='CocoDataset',
        metainfo=dict(classes=('object',)),
        ann_file=f'{data_root}{part}/{ann}.json',
        data_prefix=dict(img=f'{data_root}{part}/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=16),
        pipeline=load + jitter,
    )
    return dict(type='RepeatDataset', times=times, dataset=dataset)


train_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='MultiImageMixDataset',
        dataset=dict(type='ConcatDataset', datasets=[coco('photos', 40), coco('scenes', 1)]),
        pipeline=train_pipeline,
    ),
)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None

iterations = 10000
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(
    _delete_=True,
    type='Bf16OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=300),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=300, end=iterations),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(_delete_=True, type='CheckpointHook', interval=500, by_epoch=False, max_keep_ckpts=3),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = None
randomness = dict(seed=0)
