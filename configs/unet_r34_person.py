"""Persons as foreground: a U-Net on a ResNet-34, trained on COCO's person masks with a published recipe.

Images of 256x256, batches of 16, Adam with a learning rate of 1e-4 that is reduced on a plateau, 30 epochs; the weights
of the best validation IoU are kept. The recipe's authors report an IoU of 0.898 in training and 0.722 in validation on
6,400 images.

    python tools/train.py configs/unet_r34_person.py
    python tools/eliminate_bg.py configs/unet_r34_person.py work_dirs/unet_r34_person/epoch_30.pth IN/

Other classes: `classes` in both data sets and in the metric. Several classes become one foreground; give it a name by
`test_dataloader.dataset.metainfo.classes`.
"""

_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(
    imports=[
        'solo_bg.mmdet_plugin.foreground_unet',
        'solo_bg.mmdet_plugin.metrics',
        'solo_bg.mmdet_plugin.training_curves',
    ],
    allow_failed_imports=False,
)

model = dict(
    type='ForegroundUNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=34,
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet34-b627a593.pth'),
    ),
    neck=dict(type='UNetDecoder', in_channels=(64, 64, 128, 256, 512), channels=(256, 128, 64, 32, 16)),
    mask_head=dict(type='ForegroundHead', in_channels=16),
    test_cfg=dict(mask_thr=0.5, parts=False, min_area=0, max_per_img=100),
)

data_root = 'data/coco/'
train_ann = f'{data_root}annotations/instances_train2017.json'
val_ann = f'{data_root}annotations/instances_val2017.json'
classes = ('person',)
size = (256, 256)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
train_pipeline = [
    *load,
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=size, keep_ratio=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    *load,
    dict(type='Resize', scale=size, keep_ratio=False),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
persons = dict(type='CocoDataset', metainfo=dict(classes=classes), filter_cfg=dict(filter_empty_gt=True, min_size=16))
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        ann_file=train_ann, data_prefix=dict(img=f'{data_root}train2017/'), pipeline=train_pipeline, **persons
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file=val_ann, data_prefix=dict(img=f'{data_root}val2017/'), pipeline=test_pipeline, **persons),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ForegroundIoU', ann_file=val_ann, classes=classes)
test_evaluator = val_evaluator

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = [dict(type='ReduceOnPlateauLR', monitor='foreground/iou', rule='greater', factor=0.1, patience=3)]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=1, max_keep_ckpts=1, save_best='foreground/iou', rule='greater'),
)
custom_hooks = [dict(type='TrainingCurves')]
randomness = dict(seed=0)
