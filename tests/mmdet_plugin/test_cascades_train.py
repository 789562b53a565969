"""MNC and the pixel embeddings through `tools/train.py`, `tools/test.py` and their resuming, as a user runs them."""

import pickle
import subprocess
import sys

import pytest
from coco_data import make_dataset
from conftest import ROOT
from small_cascades import SMALL, small_config

pytestmark = pytest.mark.slow


def run(tool, *argv):
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), *map(str, argv)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('name', list(SMALL))
def test_training_resumes_and_the_result_is_tested(name, tmp_path):
    """The data set has crowd regions. The test draws pictures and writes a pickle."""
    make_dataset(tmp_path)
    config = small_config(name, tmp_path)
    config.train_cfg.update(max_iters=2, val_interval=100)
    config.default_hooks.checkpoint.interval = 1
    config.dump(tmp_path / 'config.py')
    work = ['--work-dir', tmp_path / 'work']
    run('train.py', tmp_path / 'config.py', *work)
    more = ['--resume', '--amp', '--cfg-options', 'train_cfg.max_iters=3']
    assert 'resumed' in run('train.py', tmp_path / 'config.py', *work, *more)
    assert (tmp_path / 'work/iter_3.pth').exists()
    argv = [tmp_path / 'config.py', tmp_path / 'work/iter_3.pth', '--work-dir', tmp_path / 'test']
    argv += ['--out', tmp_path / 'found.pkl', '--show-dir', tmp_path / 'shown']
    printed = run('test.py', *argv)
    for metric in ('coco/segm_mAP', 'region/mAPr@0.5', 'region/mAPr@0.7', 'proposal/AR@100'):
        assert f'{metric}: 0.' in printed
    assert len(pickle.loads((tmp_path / 'found.pkl').read_bytes())) == 4
    assert list((tmp_path / 'shown').rglob('*.png'))
