"""``/jsonschema/<package>/<Message>.schema.json``: JSON schemas of the messages, as Pachyderm
serves them to editors and its console.

The schema of a message is draft 4, with the types it uses under ``definitions``. Null stands for
a field that is not set, and an integer may be written as text.
"""

from __future__ import annotations

import html
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pachybox.api import definitions
from pachybox.errors import NotFound

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

Schema = dict[str, Any]

_SCHEMA = "application/schema+json"
_NULL: Schema = {"type": "null"}
_INTEGER: Schema = {
    "oneOf": [_NULL, {"type": "integer"}, {"type": "string", "pattern": "^-?\\d+$"}]
}
_NUMBER: Schema = {"oneOf": [_NULL, {"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [_NULL, schema]}


_TEXT = _or_null({"type": "string"})
_BYTES = _or_null({"type": "string", "format": "binary", "binaryEncoding": "base64"})
_BOOL = _or_null({"type": "boolean"})
_OBJECT = _or_null({"type": "object"})
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Any": _OBJECT,
    "google.protobuf.BoolValue": _BOOL,
    "google.protobuf.BytesValue": _BYTES,
    "google.protobuf.DoubleValue": _NUMBER,
    "google.protobuf.Duration": _or_null({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"}),
    "google.protobuf.Empty": _OBJECT,
    "google.protobuf.FloatValue": _NUMBER,
    "google.protobuf.Int32Value": _INTEGER,
    "google.protobuf.Int64Value": _INTEGER,
    "google.protobuf.StringValue": _TEXT,
    "google.protobuf.Struct": _OBJECT,
    "google.protobuf.Timestamp": _or_null({"type": "string", "format": "date-time"}),
    "google.protobuf.UInt32Value": _INTEGER,
    "google.protobuf.UInt64Value": _INTEGER,
    "google.protobuf.Value": {},
}
_PATH = re.compile(r"/jsonschema/([A-Za-z_0-9.]+)/([A-Za-z_0-9]+)\.schema\.json")


def page(path: str) -> tuple[str, bytes]:
    """Content type and body of a path below ``/jsonschema/``. Raises NotFound."""
    if path == "/jsonschema/":
        return "text/html; charset=utf-8", _index()
    if match := _PATH.fullmatch(path):
        try:
            return _SCHEMA, _text(f"{match[1]}.{match[2]}")
        except KeyError:
            pass
    raise NotFound(f"nothing is at {path[:200]}", "see /jsonschema/ for the schemas there are")


@lru_cache(64)
def _text(full_name: str) -> bytes:
    descriptor = definitions.pool().FindMessageTypeByName(full_name)
    return json.dumps(schema(descriptor), indent=2).encode()


def schema(descriptor: Descriptor) -> Schema:
    """The schema of a message with all it uses."""
    found: dict[str, Schema] = {}
    _define(descriptor, descriptor.name, found, descriptor)
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "$ref": f"#/definitions/{descriptor.name}",
        "definitions": found,
    }


def _define(descriptor: Descriptor, name: str, found: dict[str, Schema], top: Descriptor) -> None:
    if name in found:
        return
    properties: dict[str, Schema] = {}
    found[name] = {
        "type": "object",
        "title": _title(descriptor.name),
        "properties": properties,
        "additionalProperties": False,
    }
    for field in descriptor.fields:
        properties[field.json_name] = _field(field, found, top)


def _field(field: FieldDescriptor, found: dict[str, Schema], top: Descriptor) -> Schema:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return _or_null({"type": "object", "additionalProperties": _single(value, found, top)})
    single = _single(field, found, top)
    return _or_null({"type": "array", "items": single}) if field.is_repeated else single


def _single(field: FieldDescriptor, found: dict[str, Schema], top: Descriptor) -> Schema:
    if (message := field.message_type) is not None:
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        name = message.name if message.full_name == top.full_name else message.full_name
        _define(message, name, found, top)
        return _or_null({"$ref": f"#/definitions/{name}"})
    if field.enum_type is not None:
        names = [value.name for value in field.enum_type.values]
        return _or_null({"enum": names, "title": _title(field.enum_type.name)})
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return _NUMBER
    if field.type == field.TYPE_STRING:
        return _TEXT
    if field.type == field.TYPE_BYTES:
        return _BYTES
    return _BOOL if field.type == field.TYPE_BOOL else _INTEGER


def _title(name: str) -> str:
    """``CreatePipelineRequest`` as "Create Pipeline Request"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


def names() -> list[str]:
    """Every message that has a schema: ``package/Message``."""
    return sorted(
        f"{file.package}/{message.name}"
        for file in definitions.all_files()
        for message in file.message_type
    )


def _index() -> bytes:
    lines = ["<!doctype html>", "<title>JSON schemas</title>", "<h1>JSON schemas</h1>", "<ul>"]
    lines += [
        f'<li><a href="{html.escape(name)}.schema.json">{html.escape(name)}</a>' for name in names()
    ]
    return "\n".join([*lines, "</ul>", ""]).encode()
