"""The bundled model: a decoupled light SOLO with a foreground map, on a short ResNet-50.

checkpoints/README.md is its card.
"""

_base_ = 'mmdet::solo/decoupled-solo-light_r50_fpn_3x_coco.py'
custom_imports = dict(
    imports=['solo_bg.mmdet_plugin.foreground_head', 'solo_bg.mmdet_plugin.short_resnet'], allow_failed_imports=False
)

classes = (
    'person', 'vehicle', 'outdoor', 'animal', 'accessory', 'sports', 'kitchen', 'food', 'furniture', 'electronic',
    'appliance', 'indoor', 'object',
)  # fmt: skip
palette = [
    (220, 20, 60), (0, 80, 200), (250, 170, 30), (110, 190, 60), (180, 90, 200), (0, 170, 170), (255, 120, 100),
    (240, 200, 0), (150, 100, 60), (70, 130, 180), (200, 200, 210), (255, 150, 200), (130, 220, 160),
]  # fmt: skip

channels = 96
model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(type='ShortResNet', style='caffe', norm_cfg=dict(type='BN', requires_grad=False), init_cfg=None),
    neck=dict(out_channels=channels),
    mask_head=dict(
        type='ForegroundDecoupledSOLOLightHead',
        loss_cls=dict(type='IgnoringFocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        num_classes=len(classes),
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=3,
        scale_ranges=((1, 48), (24, 96), (48, 160), (96, 224), (160, 2048)),
        num_grids=[28, 24, 18, 14, 10],
    ),
    test_cfg=dict(nms_across_classes=True),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(448, 320), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
metainfo = dict(classes=classes, palette=palette)
test_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
val_dataloader = test_dataloader
