"""The bundled model: a decoupled light SOLO with a foreground map, on a ResNet-18. Its card: checkpoints/README.md."""

_base_ = 'mmdet::solo/decoupled-solo-light_r50_fpn_3x_coco.py'
custom_imports = dict(imports=['solo_bg.mmdet_plugin.foreground_head'], allow_failed_imports=False)

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
    backbone=dict(depth=18, frozen_stages=1, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=channels),
    mask_head=dict(
        type='ForegroundDecoupledSOLOLightHead',
        loss_cls=dict(type='IgnoringFocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        num_classes=len(classes),
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=3,
        scale_ranges=((1, 40), (20, 80), (40, 128), (80, 192), (128, 2048)),
        num_grids=[24, 20, 16, 12, 8],
    ),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(392, 280), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
metainfo = dict(classes=classes, palette=palette)
test_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
val_dataloader = test_dataloader
