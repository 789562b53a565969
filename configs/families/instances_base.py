"""What the models of this folder that tell COCO's classes apart share: the images' size, and metrics of classes.

For a data set of other classes, give `metainfo=dict(classes=...)` in both data sets, and `num_classes` in the model.
"""

_base_ = './proposals_base.py'

scale, size = (480, 360), (320, 320)
train_pipeline = [
    *_base_.load,
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=scale, ratio_range=(0.6, 1.3), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, crop_type='absolute', recompute_bbox=True, allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(3, 3), by_mask=True, min_gt_mask_area=20, keep_empty=False),
    _base_.pack,
]
test_pipeline = [_base_.load[0], dict(type='Resize', scale=scale, keep_ratio=True), _base_.load[1], _base_.pack]
data_preprocessor = dict(pad_size_divisor=32)
train_dataloader = dict(batch_size=8, dataset=dict(type='CocoDataset', pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=test_pipeline))
test_evaluator = [
    dict(type=kind, ann_file=_base_.data_root + _base_.test_ann_file, **options)
    for kind, options in (('CocoMetric', dict(metric='segm')), ('RegionAP', {}), ('MaskProposalRecall', {}))
]
