"""InstanceFCN on a ResNet-18 that learnt ImageNet, trained on COCO's photographs."""

_base_ = './proposals_base.py'
custom_imports = dict(
    imports=[
        'solo_bg.mmdet_plugin.class_agnostic',
        'solo_bg.mmdet_plugin.instance_fcn',
        'solo_bg.mmdet_plugin.metrics',
    ],
    allow_failed_imports=False,
)

shorter_sides = [600 * 1.5**step for step in range(-4, 2)]
longest_side = 1600
model = dict(
    type='InstanceFCN',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=18,
        strides=(1, 2, 1, 1),  # stride 8: the last two stages are dilated instead
        dilations=(1, 1, 2, 4),
        out_indices=(3,),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.backbone_weights),
    ),
    mask_head=dict(type='InstanceFCNHead', in_channels=512),
    test_cfg=dict(
        shorter_sides=shorter_sides,
        longest_side=longest_side,
        score_thr=0.0,
        nms_pre=4000,
        mask_thr=0.5,
        iou_thr=0.8,
        max_per_img=100,
    ),
)
train_pipeline = [
    *_base_.load,
    dict(
        type='RandomChoiceResize',
        scales=[(longest_side, round(side)) for side in shorter_sides],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    _base_.pack,
]
test_pipeline = [
    _base_.load[0],
    dict(type='Resize', scale=(longest_side, 900), keep_ratio=True),
    _base_.load[1],
    _base_.pack,
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
