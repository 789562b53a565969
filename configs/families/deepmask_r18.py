"""DeepMask on a ResNet-18 that learnt ImageNet, trained on windows of COCO's photographs."""

_base_ = './proposals_base.py'
custom_imports = dict(
    imports=[
        'solo_bg.mmdet_plugin.class_agnostic',
        'solo_bg.mmdet_plugin.deepmask',
        'solo_bg.mmdet_plugin.metrics',
        'solo_bg.mmdet_plugin.triplets',
    ],
    allow_failed_imports=False,
)

margin = 16
model = dict(
    type='DeepMask',
    margin=margin,
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=3,  # stride 16
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.backbone_weights),
    ),
    mask_head=dict(type='DeepMaskHead', in_channels=256, feat_channels=128),
    test_cfg=dict(
        scales=[2 ** (step / 2) for step in range(-4, 3)],  # from 1/4 to 2
        zoom=False,
        score_thr=0.0,
        nms_pre=1000,
        mask_thr=0.2,
        max_per_img=100,
    ),
)
train_pipeline = [
    *_base_.load,
    dict(type='CutTriplet', margin=margin),
    dict(type='RandomFlip', prob=0.5),
    _base_.pack,
]
test_pipeline = [
    _base_.load[0],
    dict(type='Resize', scale=(640, 640), keep_ratio=True),  # COCO's size, which the scales are meant for
    _base_.load[1],
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
