"""The bundled model: a small decoupled light SOLO on a narrow ResNet-18, one class. Its card: checkpoints/README.md."""

_base_ = 'mmdet::solo/decoupled-solo-light_r50_fpn_3x_coco.py'

channels = 64
model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels),
    mask_head=dict(
        num_classes=1,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=3,
        scale_ranges=((1, 40), (20, 80), (40, 128), (80, 192), (128, 2048)),
        num_grids=[32, 24, 16, 12, 8],
    ),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(352, 256), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
metainfo = dict(classes=('object',), palette=[(220, 20, 60)])
test_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
val_dataloader = test_dataloader
