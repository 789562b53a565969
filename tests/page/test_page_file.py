"""What can be said of the page without a browser: it stands alone, and its words are the command's."""

import re

from conftest import ROOT

from solo_bg.cli.arguments import build_parser
from solo_bg.coco.pseudo_labels import category_ids
from solo_bg.draw.fills import FILLS
from solo_bg.draw.styles import STYLES
from solo_bg.web.app import SCRIPT

PAGE = (ROOT / 'solo_bg/web/page.html').read_text(encoding='utf-8')


def table(name):
    """The keys of a table of the script."""
    block = re.search(rf'^const {name} = {{\n(.*?)^}};', PAGE, re.MULTILINE | re.DOTALL)[1]
    return set(re.findall(r'^  (\w+): {', block, re.MULTILINE))


def test_nothing_comes_from_other_hosts():
    addresses = set(re.findall(r'\b\w+://[^\s\'"]+', PAGE))
    assert addresses == {'http://www.w3.org/2000/svg'}  # the name of a language
    assert not re.search(r'<(?:script|link|img|iframe)[^>]* (?:src|href)="(?!data:)', PAGE)


def test_the_content_security_policy_lets_the_whole_page_run():
    assert len(SCRIPT.findall(PAGE.encode())) == PAGE.count('<script') == 1
    body = PAGE[PAGE.index('<body>') : PAGE.index('<script>')]
    assert not re.search(r' on\w+="', body)  # handlers in the markup would be refused


def test_styles_fills_and_defaults_are_the_command_s():
    assert table('STYLES') <= set(STYLES) and table('FILLS') - {'colour'} <= set(FILLS)
    defaults = build_parser().parse_args([])
    settings = re.search(r'^const settings = {\n(.*?)^};', PAGE, re.MULTILINE | re.DOTALL)[1]
    assert float(re.search(r'threshold: ([\d.]+)', settings)[1]) == defaults.score_thr
    assert int(re.search(r'margin: (\d+)', settings)[1]) == defaults.dilate
    assert re.search(r"style: '(\w+)'", settings)[1] in defaults.styles


def test_coco_s_classes_get_coco_s_ids():
    unused = set(map(int, re.search(r'const unused = \[(.*?)\]', PAGE)[1].split(',')))
    names = ['person', *map(str, range(78)), 'toothbrush']
    assert category_ids(names) == [number for number in range(1, 91) if number not in unused]
