"""What a report says, read by other means than those that wrote it: the standard library's parser of HTML."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

COLUMNS = 'input', 'status', 'share', 'instances', 'classes', 'seconds', 'thumbnail', 'outputs', 'error', 'more'
CHUNK = re.compile(r'addRecords\((\d+), (.*)\);\n', re.DOTALL)
VARIABLE = 'command', 'start', 'end', 'host', 'workers'  # facts that may differ between equal runs


class Page(HTMLParser):
    """The elements of a page, and the text in each script and style."""

    def __init__(self, text):
        super().__init__(convert_charrefs=False)
        self.elements, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ('script', 'style'):
            self.texts.append((tag, dict(attributes), ''))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] in ('script', 'style') and self.lasttag in ('script', 'style'):
            tag, attributes, text = self.texts[-1]
            self.texts[-1] = tag, attributes, text + data

    def handle_endtag(self, tag):
        self.elements.append((f'/{tag}', {}))


def parse(out):
    """The page, and the data in it with the rows of all chunks as dicts."""
    page = Page((Path(out) / 'report.html').read_bytes().decode())
    (text,) = [text for tag, attributes, text in page.texts if attributes.get('id') == 'data']
    data = json.loads(text)
    rows = data['rows']
    for index, name in enumerate(data['chunks'], 2):
        number, more = CHUNK.fullmatch((Path(out) / name).read_text('ascii')).groups()
        assert int(number) == index
        rows += json.loads(more)
    names = [name for name, *_ in data['summary']['classes']]
    data['rows'] = []
    for row in rows:
        row = dict(zip(COLUMNS, row, strict=True))
        pairs = iter(row['classes'])
        row['classes'] = {names[index]: next(pairs) for index in pairs}
        row['status'] = data['statuses'][row['status']]
        data['rows'].append(row)
    return page, data


def without_times(out):
    """What a report says, but for what may differ between equal runs."""
    _, data = parse(out)
    for row in data['rows']:
        assert row['seconds'] >= 0
        del row['seconds']
    for name in ('seconds', 'slowest'):
        del data['summary'][name]
    data['run'] = {name: value for name, value in data['run'].items() if name not in VARIABLE}
    return data


def comparable(out, files):
    """The files of an output folder, path -> bytes, with the report as `without_times` gives it."""
    if 'report.html' not in files:
        return files
    kept = {name: data for name, data in files.items() if not re.fullmatch(r'report/records-\d+\.js', name)}
    return kept | {'report.html': without_times(out)}


def policy_hashes(text):
    return f'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'
