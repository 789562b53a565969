"""The page /docs: the API in HTML, made from its OpenAPI description. It needs no script and no other host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

STYLE = (
    'body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}'
    'table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border:1px solid #8888;'
    'padding:.25rem .5rem;text-align:left;vertical-align:top}pre{overflow-x:auto;padding:.5rem;border:1px solid #8888}'
)
Described = Mapping[str, Any]


def docs_page(openapi: Described) -> str:
    """HTML that lists every path with its fields, its answers and an example."""
    body = '\n'.join(describe_paths(openapi['paths']))
    title = f'{openapi["info"]["title"]} {openapi["info"]["version"]}'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p>{escape(openapi["info"]["description"])} '
        'The same for programs: <a href="openapi.json">openapi.json</a>. Errors are JSON: '
        '<code>{"error": {"given": ..., "expected": ..., "do": ...}}</code>.</p>'
        f'{body}</body></html>'
    )


def describe_paths(paths: Described) -> Iterator[str]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield f'<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation["description"])}</p>'
            if body := operation.get('requestBody'):
                yield f'<pre>curl -F image=@photo.jpg http://127.0.0.1:5003{escape(path)}</pre>'
                yield describe_fields(body['content']['multipart/form-data']['schema'])
            yield describe_answers(operation['responses'])


def describe_fields(schema: Described) -> str:
    rows = [
        (name, 'file' if field.get('format') == 'binary' else field['type'], field.get('description', ''))
        for name, field in schema['properties'].items()
    ]
    return table(('field', 'type', 'meaning'), rows)


def describe_answers(responses: Described) -> str:
    rows = [
        (status, ', '.join(answer.get('content', ())), answer['description']) for status, answer in responses.items()
    ]
    return table(('status', 'content', 'meaning'), rows)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = ''.join(f'<th>{escape(cell)}</th>' for cell in head)
    lines = ''.join('<tr>' + ''.join(f'<td>{escape(str(cell))}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table><tr>{top}</tr>{lines}</table>'
