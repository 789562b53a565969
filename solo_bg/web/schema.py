"""The OpenAPI description of the API. The fields of its forms are described from the options of the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solo_bg.cli.fields import Field
from solo_bg.web.forms import FIELD_BYTES, IMAGE

Schema = dict[str, Any]
TEXT: Schema = {'type': 'string'}
WHOLE: Schema = {'type': 'integer', 'minimum': 0}
BINARY: Schema = {'type': 'string', 'format': 'binary'}
PICTURES = ('image/png', 'image/jpeg', 'image/webp', 'application/zip')


def of(properties: Mapping[str, Schema], **more: Any) -> Schema:
    """An object with exactly these properties."""
    return {
        'type': 'object', 'properties': dict(properties), 'required': list(properties), 'additionalProperties': False
    } | more  # fmt: skip


def array(items: Schema, count: int | None = None) -> Schema:
    return {'type': 'array', 'items': items} | ({'minItems': count, 'maxItems': count} if count else {})


ERROR = of({'error': of({'given': TEXT, 'expected': TEXT, 'do': TEXT})})
HEALTH = of({'status': {'enum': ['ok']}, 'version': TEXT, 'model': TEXT})
LOADED = of(
    {
        'name': TEXT,
        'source': TEXT,
        'device': TEXT,
        'has_scores': {'type': 'boolean'},
        'class_names': array(TEXT),
    }
)
MODELS = of({'loaded': LOADED, 'known': array(TEXT)})
INSTANCE = of(
    {
        'id': WHOLE | {'description': 'the index in this list; the owner map has id + 1'},
        'label': WHOLE,
        'class': TEXT,
        'score': {'type': 'number'},
        'box': array(WHOLE, 4) | {'description': 'left, top, right, bottom in pixels; the last two are outside'},
        'area': WHOLE | {'description': 'pixels'},
        'centre': array({'type': 'number'}, 2) | {'description': 'centre of mass, x and y'},
        'colour': array(WHOLE | {'maximum': 255}, 3) | {'description': 'red, green, blue, as in the overlay'},
        'segmentation': of({'size': array(WHOLE, 2), 'counts': TEXT}, description="COCO's compressed run-length code"),
    }
)
SEGMENTED = of(
    {
        'image': of({'width': WHOLE, 'height': WHOLE}),
        'class_names': array(TEXT),
        'instances': array(INSTANCE) | {'description': 'best score first'},
        'owner_map': TEXT
        | {'description': 'data URL of a grey PNG of 16 bits: 0 is background, k is instance k - 1, the one on top'},
    }
)


def form(fields: Mapping[str, Field]) -> Schema:
    """The request body: the image, and the options."""
    properties = {IMAGE: {'type': 'string', 'format': 'binary', 'description': "the image's file"}}
    properties |= {name: describe(field) for name, field in fields.items()}
    schema = {'type': 'object', 'properties': properties, 'required': [IMAGE], 'additionalProperties': False}
    encoding = {IMAGE: {'contentType': 'image/png, image/jpeg, image/webp, application/octet-stream'}}
    return {'required': True, 'content': {'multipart/form-data': {'schema': schema, 'encoding': encoding}}}


def describe(field: Field) -> Schema:
    """The schema of one option."""
    described: Schema = {'type': 'string', 'maxLength': FIELD_BYTES, 'description': field.help}
    if field.choices:
        described['enum'] = list(field.choices)
        del described['maxLength']
    if not field.metavar:
        return {'type': 'boolean', 'description': field.help}
    kinds: dict[type, Schema] = {
        float: {'type': 'number', 'minimum': 0, 'maximum': 1},
        int: {'type': 'integer', 'minimum': 0},
    }
    number = kinds.get(type(field.default))
    return {**number, 'description': field.help} if number else described


def responses(content: Mapping[str, Schema], errors: Mapping[int, str]) -> dict[int | str, Schema]:
    """The answers of a path: its content by media type, and its errors by status."""
    answers: dict[int | str, Schema] = {
        200: {'description': 'done', 'content': {kind: {'schema': schema} for kind, schema in content.items()}}
    }
    for status, meaning in errors.items():
        answers[status] = {'description': meaning, 'content': {'application/json': {'schema': ERROR}}}
        if status == 503:
            answers[status]['headers'] = {'Retry-After': {'description': 'seconds to wait', 'schema': TEXT}}
    return answers


ALWAYS = {400: 'the request is broken', 401: 'no token', 403: 'another host or site'}
OF_HEALTH = ALWAYS | {503: 'the server has to be restarted'}
OF_FORMS = ALWAYS | {
    408: 'the request took too long to arrive',
    413: 'the request is too large',
    415: 'the request is no form',
    422: 'the image or an option cannot be used',
    503: 'too many requests, or no time left',
}
