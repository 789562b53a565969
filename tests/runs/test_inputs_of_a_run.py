"""What a run says about its inputs before it starts."""

import awkward
import pytest

from solo_bg.errors import SetupError
from solo_bg.runs.plan import make_plan
from solo_bg.runs.settings import Settings


def plan(tmp_path, *given):
    return make_plan(Settings([str(one) for one in given], 'config', 'checkpoint', out=tmp_path / 'out'))


def test_what_is_left_out_is_said_in_a_line_each(tmp_path, caplog):
    image = awkward.save(awkward.to_pillow(awkward.photo()), 'PNG')
    for name in ('a.png', '._a.png', 'notes.txt', 'earlier/run.json', 'earlier/manifest.jsonl', 'earlier/mask/a.png'):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'in' / name).write_bytes(image)
    assert [image.below.as_posix() for image in plan(tmp_path, tmp_path / 'in').images] == ['a.png']
    assert caplog.messages == [
        '2 files in the folders are not read: 1 ._* (of macOS), 1 .txt',
        f'results of earlier runs are not read as images: {tmp_path}/in/earlier',
    ]


def test_an_input_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SetupError, match=r'nosuch\.jpg does not exist; expected image files'):
        plan(tmp_path, 'nosuch.jpg')


def test_torchrun_cannot_share_standard_input(tmp_path, monkeypatch):
    for name, value in (('TORCHELASTIC_RUN_ID', '1'), ('RANK', '0'), ('WORLD_SIZE', '2')):
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match='torchrun and a list from standard input exclude each other'):
        plan(tmp_path, '-')
