"""Pixel embeddings (Semantic Instance Segmentation via Deep Metric Learning) on a ResNet-18 that learnt ImageNet."""

_base_ = './instances_base.py'
custom_imports = dict(
    imports=['solo_bg.mmdet_plugin.pixel_embeddings', 'solo_bg.mmdet_plugin.region_ap'], allow_failed_imports=False
)

model = dict(
    type='PixelEmbeddings',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=18,
        strides=(1, 2, 2, 1),  # stride 16: the last stage is dilated instead
        dilations=(1, 1, 1, 2),
        out_indices=(0, 1, 3),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.backbone_weights),
    ),
    mask_head=dict(type='EmbeddingHead', num_classes=80, in_channels=[64, 128, 512]),
    test_cfg=dict(score_thr=0.05, alpha=0.3, iou_thr=0.5, max_per_img=100),
)
