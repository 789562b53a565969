"""The recipe of unet_r34_person.py made small, for hundreds of photographs and training on a CPU.

A ResNet-18, a narrow decoder, 192x192 pixels, 6 epochs; on the photographs of `tools/prepare_tiny.py`.

Partly annotated photographs are cropped to the person that is annotated.
"""

_base_ = './unet_r34_person.py'
custom_imports = dict(
    imports=[*_base_.custom_imports.imports, 'solo_bg.mmdet_plugin.crop_to_objects'], allow_failed_imports=False
)

backbone_weights = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint=backbone_weights)),
    neck=dict(channels=(128, 64, 48, 32, 16)),
)

data_root = 'data/tiny/'
size = (192, 192)
flip_and_pack = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=size, keep_ratio=False),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]
vary = [
    dict(type='RandomResize', scale=(320, 320), ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.6, 0.6), recompute_bbox=True),
]
test_pipeline = [
    *_base_.load,
    dict(type='Resize', scale=size, keep_ratio=False),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]


def photos(part, name, pipeline, **more):
    files = dict(ann_file=f'{data_root}{part}/{name}.json', data_prefix=dict(img=f'{data_root}{part}/images/'))
    return dict(pipeline=pipeline, **files, **_base_.persons, **more)


complete = dict(
    type='RepeatDataset',
    times=2,
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            photos(part, 'train', [*_base_.load, *vary, *flip_and_pack]) for part in ('complete', 'instances_train2017')
        ],
    ),
)
partial = photos('partial', 'train', [*_base_.load, dict(type='CropToObjects'), *flip_and_pack])
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[complete, partial]),
)
val_ann = f'{data_root}complete/calibrate.json'
val_dataloader = dict(num_workers=1, dataset=photos('complete', 'calibrate', test_pipeline))
val_evaluator = dict(ann_file=val_ann)
test_ann = f'{data_root}complete/test.json'
test_dataloader = dict(num_workers=1, dataset=photos('complete', 'test', test_pipeline))
test_evaluator = dict(ann_file=test_ann)

epochs = 6
train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-6, T_max=epochs, end=epochs, by_epoch=True, convert_to_iter_based=True),
]
