"""`--help` and the messages of the command."""

import argparse
import re

import pytest

from solo_bg.cli.arguments import build_parser, parse

PARSER = build_parser()
OPTIONS = [action for action in PARSER._actions if action.option_strings and action.dest not in ('help', 'version')]
NO_DEFAULT = {
    'ann',
    'mix',
    'source_options',
    'refine_options',
    'cfg_options',
    'merge',
}  # without these options, they do not apply
COMPUTED = {'workers': 'one for each core', 'shard': 'all'}  # defaults that the help describes in words
NOT_PLAIN = ('a ', 'an ', 'the ', 'if ', 'for ', 'of ', 'that ', 'what ', 'where ', 'which ', 'by ', 'with ', 'when ')


def text_of(action):
    return ' '.join(action.help.split())


@pytest.mark.parametrize('action', OPTIONS, ids=lambda action: action.dest)
def test_the_help_of_an_option_begins_with_a_verb_or_a_noun(action):
    text = text_of(action)
    assert re.match(r'[a-z]|COCO |CPU |JPEG ', text) and not text.startswith(NOT_PLAIN)
    assert not text.endswith('.')


@pytest.mark.parametrize('action', OPTIONS, ids=lambda action: action.dest)
def test_the_help_of_an_option_states_its_default(action):
    stated = re.findall(r'\(default: ([^)]*)\)', text_of(action))
    if isinstance(action, argparse._StoreTrueAction):
        return
    assert len(stated) == (action.dest not in NO_DEFAULT)
    if action.dest in COMPUTED:
        assert stated == [COMPUTED[action.dest]]
    elif action.default is not None:
        default = ','.join(action.default) if isinstance(action.default, list) else str(action.default)
        assert re.match(rf'{re.escape(default)}\b', stated[0])


def test_the_help_opens_with_three_examples_and_ends_with_expert_options():
    lines = PARSER.format_help().splitlines()
    begin = lines.index('examples:')
    assert begin < 6
    block = lines[begin + 1 : lines.index('', begin)]
    assert len([line for line in block if line.startswith('  eliminate_bg')]) >= 3
    titles = [group.title for group in PARSER._action_groups if group._group_actions]
    assert titles[-1] == 'expert options' and len(titles) == 7
    assert 'Exit code: 0' in lines[-1]


@pytest.mark.parametrize(
    ('given', 'expected'), [('jpeg', 'jpg'), ('JPG', 'jpg'), ('.jpeg', 'jpg'), ('PNG', 'png'), ('WebP', 'webp')]
)
def test_formats_in_any_spelling(given, expected):
    assert parse(['c.py', 'w.pth', 'in', '--format', given]).settings.format == expected


@pytest.mark.parametrize(
    ('paths', 'named'),
    [
        (['solo.py', 'w.pth', 'photos/'], 'solo.py w.pth'),
        (['photos/', 'w.pth'], 'w.pth'),
        (['solo_r50_fpn_1x_coco', 'auto', 'photos/'], 'solo_r50_fpn_1x_coco auto'),
    ],
)
def test_a_model_is_refused_where_none_is_used(paths, named, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(['--source', 'gt', '--ann', 'a.json', *paths])
    error = capsys.readouterr().err
    told = f'--source gt takes no CONFIG and no CHECKPOINT, only INPUT...; leave out {named} ('
    assert stopped.value.code == 2 and told in error


def test_a_folder_called_like_a_model_is_an_input(tmp_path):
    (tmp_path / 'a.py').mkdir()
    settings = parse(['--source', 'gt', '--ann', 'a.json', str(tmp_path / 'a.py'), 'b']).settings
    assert settings.inputs == [str(tmp_path / 'a.py'), 'b']


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--score-thr', 'abc'], "--score-thr: expected a number from 0 to 1, got 'abc'"),
        (['--format', 'gif'], "--format: invalid choice: 'gif'"),
        (['--strict'], '--strict needs --ann'),
    ],
)
def test_wrong_values_are_named(words, message, capsys):
    with pytest.raises(SystemExit):
        parse(['c', 'w', 'i', *words])
    assert message in capsys.readouterr().err
