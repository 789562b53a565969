"""Multi-task Network Cascades of five stages on a ResNet-18 that learnt ImageNet.

`--cfg-options model.roi_head.stages=3` gives the cascade of three.
"""

_base_ = './instances_base.py'
custom_imports = dict(
    imports=['solo_bg.mmdet_plugin.cascade_stages', 'solo_bg.mmdet_plugin.mnc', 'solo_bg.mmdet_plugin.region_ap'],
    allow_failed_imports=False,
)

stride, channels = 8, 128
model = dict(
    type='MNC',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=3,
        strides=(1, 2, 1),  # stride 8: the last stage is dilated instead
        dilations=(1, 1, 2),
        out_indices=(2,),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.backbone_weights),
    ),
    neck=dict(type='ChannelMapper', in_channels=[256], out_channels=channels, kernel_size=1, num_outs=1),
    rpn_head=dict(
        type='BoxGradientRPNHead',
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[2, 4, 8, 16, 32], ratios=[0.5, 1.0, 2.0], strides=[stride]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
    ),
    roi_head=dict(type='CascadeStages', num_classes=80, in_channels=channels, stride=stride, class_channels=512),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=2000, nms=dict(type='nms', iou_threshold=0.7), max_per_img=300, min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=0.5,
            ),
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.5),
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=2000, nms=dict(type='nms', iou_threshold=0.7), max_per_img=300, min_bbox_size=0),
        rcnn=dict(score_thr=0.05, iou_thr=0.3, max_per_img=100, mask_thr=0.5),
    ),
)
