import subprocess
import sys

import pytest

from solo_bg.cli.arguments import parse


def settings(argv):
    return parse(argv).settings


def test_options_and_inputs_in_any_order():
    args = settings(['-o', 'x', 'c.py', '--limit', '3', 'w.pth', 'a', '--quiet', 'b', '--styles', 'mask, labels'])
    assert (args.config, args.checkpoint, args.inputs) == ('c.py', 'w.pth', ['a', 'b'])
    assert args.limit == 3 and args.styles == ['mask', 'labels']


def test_cfg_options_end_where_no_option_stands():
    args = settings(['--cfg-options', 'a.b=1', 'c=[1,2]', 'c.py', 'w.pth', 'in', '--cfg-options', 'd=x'])
    assert args.cfg_options == ['a.b=1', 'c=[1,2]', 'd=x'] and args.inputs == ['in']
    assert settings(['c.py', 'w.pth', 'in', '--cfg-options=a=1']).cfg_options == ['a=1']


def test_annotations_alone_take_inputs_only():
    args = settings(['a', '--source', 'gt', '--ann', 'a.json', 'b', 'c'])
    assert args.inputs == ['a', 'b', 'c'] and str(args.ann) == 'a.json'


def test_a_mix_of_every_kind_of_fill():
    args = settings(['c', 'w', 'i', '--mix', 'zero:1,255,0,7:.5,dir:/a:b,c:2,dataset-mean:0'])
    assert args.mix == [('zero', 1.0), ('255,0,7', 0.5), ('dir:/a:b,c', 2.0), ('dataset-mean', 0.0)]


def test_no_inputs_is_the_demo():
    args = settings([])
    assert args.config.endswith('configs/solo_bg_tiny.py') and args.inputs[0].endswith('demo/images')


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['c.py'], 'expected CONFIG CHECKPOINT INPUT'),
        (['c.py', 'w.pth'], 'expected CONFIG CHECKPOINT INPUT'),
        (['c', 'w', 'i', '--styles', 'eliminated,sepia'], 'no style named sepia; the styles are eliminated, overlay'),
        (['c', 'w', 'i', '--styles', ','], 'expected names'),
        (['c', 'w', 'i', '--score-thr', '1.5'], 'from 0 to 1'),
        (['c', 'w', 'i', '--batch-size', '0'], 'at least 1'),
        (['c', 'w', 'i', '--max-pixels', '0'], 'at least 1'),
        (['c', 'w', 'i', '--quality', '101'], 'from 1 to 100'),
        (['c', 'w', 'i', '--fill', 'pink'], "no fill is called 'pink'; expected one of zero, mean"),
        (['c', 'w', 'i', '--fill', '1,2,256'], 'no fill is called'),
        (['c', 'w', 'i', '--fill', 'dir:'], 'no fill is called'),
        (['c', 'w', 'i', '--mix', 'zero:0.5,noise'], 'expected fills with weights'),
        (['c', 'w', 'i', '--mix', 'zero:0'], 'expected fills with weights'),
        (['c', 'w', 'i', '--mix', 'zero:1,pink:1'], 'no fill is called'),
        (['c', 'w', 'i', '--fill', 'zero', '--mix', 'zero:1'], 'exclude each other'),
        (['c', 'w', 'i', '--resume', '--overwrite'], 'exclude each other'),
        (['c', 'w', 'i', '--ray-address', 'auto'], 'needs --engine ray'),
        (['c', 'w', 'i', '--dilate', '-1'], 'at least 0'),
        (['c', 'w', 'i', '--source', 'union'], '--source union needs --ann'),
        (['c', 'w', 'i', '--source', 'magic'], "no source is called 'magic'; expected one of model, gt"),
        (['c', 'w', 'i', '--score-thr', 'abc'], "from 0 to 1, got 'abc'"),
        (['c', 'w', 'i', '--missed', 'drop', '--min-iou', '0.5'], '--missed, --min-iou needs --ann'),
        (['--source', 'gt', '--ann', 'a.json'], 'expected INPUT...'),
        (['c', 'w', 'i', '--on-empty', 'maybe'], 'invalid choice'),
        (['c', 'w', 'i', '--format', 'gif'], 'invalid choice'),
        (['c', 'w', 'i', '--tresh', '1'], 'unrecognized arguments'),
        (['c', 'w', 'i', '--cfg-option', 'a=1'], 'unrecognized arguments'),
        (['c', 'w', 'i', '--device', 'gpu'], "no device is called 'gpu'"),
        (['c', 'w', 'i', '--classes', ','], 'expected names'),
        (['c', 'w', 'i', '--cfg-options'], 'expected K=V, got nothing'),
        (['--cfg-options', 'x', 'c', 'w', 'i'], 'expected K=V, got x'),
        (['--merge', 'out', '--report', 'none'], '--merge takes no other argument'),
        (['photos/', '--merge', 'out'], '--merge takes no other argument'),
        (['--merge=out', '--quiet'], '--merge takes no other argument'),
    ],
)
def test_mistakes_are_usage_errors(argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(argv)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


@pytest.mark.parametrize('argv', [['--help'], ['--version'], ['c.py'], ['c', 'w', 'i', '--styles', 'x']])
def test_help_and_mistakes_are_answered_before_anything_heavy_is_imported(argv):
    code = (
        'import sys; from solo_bg.cli.main import main\n'
        f'try: main({argv!r})\n'
        "except SystemExit: assert not {'torch', 'mmdet', 'cv2', 'numpy', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_styles_named_twice_count_once():
    assert settings(['c', 'w', 'i', '--styles', 'mask,cutout,mask']).styles == ['mask', 'cutout']
