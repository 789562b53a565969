"""The fourth part of the bundled model's training: `tools/label_partial.py` labels once more, with the model of the
third part, and these photographs count for more, as there are three times as many of them as of the others."""

_base_ = './solo_bg_tiny_train_labelled.py'

load_from = 'work_dirs/tiny_labelled/iter_2400.pth'
complete, mini, labelled, scenes = _base_.train_dataloader.dataset.dataset.datasets
labelled = dict(labelled, times=6)
train_dataloader = dict(dataset=dict(dataset=dict(datasets=[complete, mini, labelled, scenes])))

iterations = 3000
train_cfg = dict(max_iters=iterations, val_interval=iterations + 1)
warm_up, fall = _base_.param_scheduler
param_scheduler = [warm_up, dict(fall, begin=800, end=iterations)]
randomness = dict(seed=8)
