"""The third part of the bundled model's training: the rest of the partly annotated photographs counts as well, as
`tools/label_partial.py` labelled it with the model of the second part."""

_base_ = './solo_bg_tiny_train_larger.py'

load_from = 'work_dirs/tiny_larger/iter_2500.pth'
complete, mini, partial, scenes = _base_.datasets
labelled = dict(partial, times=3, dataset=dict(partial.dataset, ann_file=f'{_base_.data_root}partial/labelled.json'))
train_dataloader = dict(dataset=dict(dataset=dict(datasets=[complete, mini, labelled, scenes])))

iterations = 2400
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
warm_up, fall = _base_.param_scheduler
param_scheduler = [warm_up, dict(fall, begin=500, end=iterations)]
randomness = dict(seed=7)
